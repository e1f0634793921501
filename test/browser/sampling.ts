/** @file The worker of page.ts, as a user writes it. */
import { serveSampler } from '../../src/web/index.ts';

/** Tells the page of every thread that is started from here. */
const threads = new BroadcastChannel('threads');
const NativeWorker = globalThis.Worker;
globalThis.Worker = class extends NativeWorker {
  constructor(...options: ConstructorParameters<typeof Worker>) {
    super(...options);
    threads.postMessage('started');
  }
};

serveSampler();
