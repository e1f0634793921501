/** @file Checking every fixture below a folder. */
import { DataError } from '../../src/core/errors.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { type Comparison, isWithin } from './comparison.ts';
import { listFixtures, nameOf, readFixture } from './fixture.ts';
import { describeUnknown, recogniseKind } from './kinds.ts';

export interface FixtureResult {
  readonly name: string;
  readonly kind: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly comparisons: readonly Comparison[];
  /** Recorded values that were left out. */
  readonly notCompared: readonly string[];
  /** Why there is no comparison, where there is none. */
  readonly problem?: string;
}

export interface RunOptions {
  readonly backend: Backend;
  /** Checks only fixtures whose name contains this. */
  readonly only?: string | undefined;
}

/**
 * Results in the order of names, as they come.
 *
 * @throws DataError if the folder cannot be read or no fixture in it can be checked
 */
export async function* checkFolder(
  folder: string,
  { backend, only = '' }: RunOptions,
): AsyncGenerator<FixtureResult> {
  const paths = (await listFixtures(folder)).filter((path) => nameOf(path, folder).includes(only));
  let checked = 0;
  for (const path of paths) {
    const result = await checkFixture(path, folder, backend);
    if (result.status !== 'skipped') checked++;
    yield result;
  }
  if (checked === 0) {
    throw new DataError({
      where: folder,
      problem: `no fixture was checked: ${paths.length} JSON files${only === '' ? '' : ` match "${only}"`}, none of a known kind`,
      fix: 'give a folder that holds fixtures, or leave out --only',
    });
  }
}

/** @param folder - what the fixture's name is relative to */
export async function checkFixture(path: string, folder: string, backend: Backend): Promise<FixtureResult> {
  const name = nameOf(path, folder);
  let kind = 'unreadable';
  try {
    const fixture = await readFixture(path, folder);
    const recognised = recogniseKind(fixture);
    if (recognised === undefined) {
      const problem = describeUnknown(fixture);
      return { name, kind: 'unknown', status: 'skipped', comparisons: [], notCompared: [], problem };
    }
    kind = recognised.name;
    const { comparisons, notCompared = [] } = await recognised.check(backend);
    const passed = comparisons.length > 0 && comparisons.every(isWithin);
    return { name, kind, status: passed ? 'passed' : 'failed', comparisons, notCompared };
  } catch (error) {
    // One damaged fixture must not hide the results of the others.
    const problem = error instanceof Error ? error.message : String(error);
    return { name, kind, status: 'failed', comparisons: [], notCompared: [], problem };
  }
}
