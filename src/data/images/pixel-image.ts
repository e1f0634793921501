/** @file Pictures of 8-bit pixels in memory, rows from the top, channels last. */

// H W C picture

export interface PixelImage {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** H·W·C bytes. */
  readonly data: Uint8Array;
}

/** A picture of one grey level or colour per channel. */
export function filledImage(width: number, height: number, channels: number, level: number): PixelImage {
  return { width, height, channels, data: new Uint8Array(width * height * channels).fill(level) };
}

/** The part of `image` whose top left corner is (`left`, `top`); it must lie inside. */
export function cropImage(
  image: PixelImage,
  left: number,
  top: number,
  width: number,
  height: number,
): PixelImage {
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * channels;
    data.set(image.data.subarray(start, start + width * channels), row * width * channels);
  }
  return { width, height, channels, data };
}

/** Copies `image` into `canvas` with its top left corner at (`left`, `top`); it must lie inside. */
export function pasteImage(canvas: PixelImage, image: PixelImage, left: number, top: number): void {
  const bytesPerRow = image.width * image.channels;
  for (let row = 0; row < image.height; row++) {
    const source = image.data.subarray(row * bytesPerRow, (row + 1) * bytesPerRow);
    canvas.data.set(source, ((top + row) * canvas.width + left) * canvas.channels);
  }
}
