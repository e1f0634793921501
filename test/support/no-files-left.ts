/** @file A program that has opened all files it may and then lists a folder and decodes a picture, for tests. */
import { openSync } from 'node:fs';
import { decodeRgb } from '../../src/data/image-decode-node.ts';
import { listImages } from '../../src/data/image-listing-node.ts';

const [folder = '', picture = ''] = process.argv.slice(2);

function openAll(): void {
  try {
    for (;;) openSync(picture, 'r');
  } catch {
    // There are no more.
  }
}

for (const read of [() => listImages(folder), () => decodeRgb(picture, null)]) {
  openAll();
  console.log(await read().catch((error: Error) => error.message));
}
