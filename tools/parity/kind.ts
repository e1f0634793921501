/** @file What the runner knows of one kind of fixture. */
import type { Backend } from '../../src/engine/runtime/session.ts';
import type { Comparison } from './comparison.ts';
import type { Fixture } from './fixture.ts';

export interface CheckResult {
  readonly comparisons: readonly Comparison[];
  /** Recorded values that were left out, each with the reason in words. */
  readonly notCompared?: readonly string[];
}

export type Check = (backend: Backend) => Promise<CheckResult>;

export interface FixtureKind {
  readonly name: string;
  /** The check of a fixture of this kind, decided by its content; undefined for every other fixture. */
  recognise(fixture: Fixture): Check | undefined;
}
