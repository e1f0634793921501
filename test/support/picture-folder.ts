/** @file A folder of class folders with small pictures, as users bring them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { fold, randomBits, randomKey } from '../../src/core/random.ts';

const SIDE = 12;

interface Pictures {
  readonly classes: readonly string[];
  readonly perClass: number;
  /** RGB, or with a fourth one alpha. */
  readonly channels?: 3 | 4;
}

/** Writes `perClass` pictures of noise into a folder per class; the same ones every time. */
export async function writePictureFolder(
  root: string,
  { classes, perClass, channels = 3 }: Pictures,
): Promise<void> {
  for (const name of classes) {
    await mkdir(join(root, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const bytes = Uint8Array.from(randomBits(fold(randomKey(0), name, i), SIDE * SIDE * channels));
      const picture = sharp(bytes, { raw: { width: SIDE, height: SIDE, channels } });
      await picture.png().toFile(join(root, name, `${i}.png`));
    }
  }
}
