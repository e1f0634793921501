/** @file A program that has opened all files it may and then lists a folder and decodes a picture, for tests. */
import { openSync } from 'node:fs';
import { listImages } from '../../src/data/datasets/image-listing-node.ts';
import { decodeRgb } from '../../src/data/images/image-decode-node.ts';

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
