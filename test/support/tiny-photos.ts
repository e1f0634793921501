/** @file A folder of class folders, such as users train on: two classes of four pictures. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writePng } from '../../src/data/images/png-node.ts';

const SIDE = 16;

export async function writePhotos(folder: string): Promise<void> {
  for (const className of ['cats', 'dogs']) {
    await mkdir(join(folder, className), { recursive: true });
    for (let i = 0; i < 4; i++) {
      const data = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, k) => (k * (i + 3)) % 256);
      await writePng(join(folder, className, `${i}.png`), { width: SIDE, height: SIDE, channels: 3, data });
    }
  }
}
