/** @file Pixels to PNG files. */
import sharp from 'sharp';
import type { HostTensor } from '../../core/host-tensor.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import type { PixelImage } from './pixel-image.ts';
import { withPngText } from './png-text.ts';
import { drawSheet, type SheetLayout } from './sheet.ts';

/** A picture of one (grey) or three channels as the bytes of a PNG file. */
export async function encodePng({ width, height, channels, data }: PixelImage): Promise<Uint8Array> {
  const picture = sharp(data, { raw: { width, height, channels: channels as 1 | 3 } });
  return (channels === 1 ? picture.toColourspace('b-w') : picture).png().toBuffer();
}

/** Under which `writePng` notes something. PNG reserves others, such as `Comment`, for people. */
export const NOTE_KEYWORD = 'udit';

/**
 * Writes a picture as a PNG file that is complete or not there. The folder must exist.
 *
 * @param note - written into the file, where viewers pass over it; of Latin-1
 */
export async function writePng(path: string, image: PixelImage, note?: string): Promise<void> {
  const png = await encodePng(image);
  await writeFileAtomic(path, [note === undefined ? png : withPngText(png, NOTE_KEYWORD, note)]);
}

const SHEET_LAYOUT: OptionTable<SheetLayout> = {
  columns: 'needed',
  rowLabels: 'optional',
  scale: 'optional',
};

/**
 * Writes a contact sheet as a PNG file.
 *
 *     await writeSheet('sheet.png', toPixels(images), { columns: 1 });
 *
 * @param images - `u8[N,H,W,C]`
 * @throws ConfigError for an option that does not exist or is missing
 */
export async function writeSheet(
  path: string,
  images: HostTensor<'u8'>,
  options: SheetLayout,
): Promise<void> {
  expectOptions(options, 'writeSheet', SHEET_LAYOUT);
  await writePng(path, drawSheet(images, options));
}
