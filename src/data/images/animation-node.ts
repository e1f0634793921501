/** @file Pictures that follow each other as an animated WebP file. */
import sharp from 'sharp';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import type { PixelImage } from './pixel-image.ts';

export interface Frame {
  readonly image: PixelImage;
  /** Milliseconds until the next. */
  readonly delay: number;
}

/**
 * Writes frames of one size as a WebP file without loss that begins again for ever, and is complete or not there. The folder
 * must exist.
 */
export async function writeAnimation(path: string, frames: readonly Frame[]): Promise<void> {
  const { width, height, channels } = frames[0]!.image;
  const strip = Buffer.concat(frames.map(({ image }) => image.data));
  const raw = { width, height: frames.length * height, channels: channels as 1 | 3, pageHeight: height };
  const delay = frames.map((frame) => frame.delay);
  const webp = await sharp(strip, { raw }).webp({ lossless: true, loop: 0, delay }).toBuffer();
  await writeFileAtomic(path, [webp]);
}
