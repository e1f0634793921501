/** @file Why a picture cannot be read. */

/** Its message is one line that completes "cannot be read: …". */
export class UnreadableImage extends Error {}
