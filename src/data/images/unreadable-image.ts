/** @file Why a picture cannot be read. */
import { UditError } from '../../core/errors.ts';

/** Its message is one line that completes "cannot be read: …". */
export class UnreadableImage extends Error {}

/** The reason in a line. An error that is no fault of the picture is thrown on. */
export function faultOfPicture(error: unknown): string {
  if (error instanceof UditError) throw error;
  return error instanceof Error ? error.message : String(error);
}
