/** @file Pictures that an earlier run has drawn. */
import type { PictureBatch } from '../pipeline.ts';

/** Where pictures are, by their positions among all. */
export interface FoundPictures {
  has(position: number): boolean;
  /** Pictures from a position on, all of which are there. */
  read(first: number, count: number): Promise<PictureBatch['pictures']>;
}

/** Does it have all of these? */
export function hasAll(found: FoundPictures, first: number, count: number): boolean {
  for (let at = first; at < first + count; at++) if (!found.has(at)) return false;
  return true;
}
