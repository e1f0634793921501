/** @file The name of an average: its tensors have it as prefix in checkpoints, and `--weights` takes it. */
import * as v from 'valibot';

/** Prefixes of what else is in a checkpoint, and what a set of weights without a name is called. */
const TAKEN: readonly string[] = ['model', 'optimizer', 'unnamed'];

export const averageName = v.custom<string>(
  (value) => typeof value === 'string' && /^[a-z][a-z0-9_-]*$/i.test(value) && !TAKEN.includes(value),
  `a name of letters, digits, - and _, other than ${TAKEN.slice(0, -1).join(', ')} and ${TAKEN.at(-1)}`,
);
