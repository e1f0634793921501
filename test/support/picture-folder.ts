/** @file A folder of class folders with small pictures, as users bring them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { fold, randomBits, randomKey } from '../../src/core/random.ts';

const SIDE = 12;

/** Writes `perClass` pictures of noise into a folder per class; the same ones every time. */
export async function writePictureFolder(
  root: string,
  { classes, perClass }: { readonly classes: readonly string[]; readonly perClass: number },
): Promise<void> {
  for (const name of classes) {
    await mkdir(join(root, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const bytes = Uint8Array.from(randomBits(fold(randomKey(0), name, i), SIDE * SIDE * 3));
      const picture = sharp(bytes, { raw: { width: SIDE, height: SIDE, channels: 3 } });
      await picture.png().toFile(join(root, name, `${i}.png`));
    }
  }
}
