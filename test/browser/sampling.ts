/** @file The worker of page.ts, as a user writes it. */
import { serveSampler } from '../../src/web/index.ts';

serveSampler();
