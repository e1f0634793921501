/** @file Classes of data that have numbers for them and no names. */
import { DataError } from '../../../core/errors.ts';

/** More than any data set has; a damaged label may say anything. */
const MOST_CLASSES = 100_000;

/**
 * The numbers themselves, from 0 to the largest.
 *
 * @throws DataError for a label that is no such number
 */
export function numberedClasses(labels: ArrayLike<number>, where: string): string[] {
  let largest = 0;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= MOST_CLASSES) {
      throw new DataError({
        where,
        problem: `the label of picture ${i} is ${label}`,
        fix: `labels are whole numbers from 0 to ${MOST_CLASSES - 1}: write them again`,
      });
    }
    largest = Math.max(largest, label);
  }
  return Array.from({ length: largest + 1 }, (_, label) => String(label));
}
