/** @file The picture that drawing begins with, and its mask, from files. */
import { ConfigError, DataError } from '../../core/errors.ts';
import { hostTensor, zeros } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize, sameSize } from '../../core/image-size.ts';
import { backgroundColour } from '../../data/images/background.ts';
import { centerCrop } from '../../data/images/center-crop.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import type { PixelImage } from '../../data/images/pixel-image.ts';
import { writeModelValues } from '../../data/images/pixels.ts';
import { isNowhere } from '../../host/files/write-error-node.ts';
import type { InitImage } from './init-image.ts';

const RGB = 3;

export interface InitPictureUse {
  /** Of what the model draws. */
  readonly size: ImageSize;
  readonly channels: number;
  /** Sides of the picture / sides of what the model draws: 1 for pixels. */
  readonly factor: number;
}

/**
 * The middle of a picture as values in [−1, 1] at the size of what is drawn, with transparency on white. Of its mask,
 * cut in the same way, what is white is drawn anew: of a latent, every place that has any of it.
 *
 * @throws DataError if a file cannot be read as a picture
 * @throws ConfigError if the sizes differ, the mask has nothing white, or the model draws no colours
 */
export async function readInitPicture(
  path: string,
  maskPath: string | undefined,
  { size, channels, factor }: InitPictureUse,
): Promise<InitImage> {
  if (channels !== RGB) {
    throw new ConfigError({
      where: path,
      problem: `the model draws pictures of ${channels} channels, this one has ${RGB}`,
      fix: 'use a model of colours',
    });
  }
  const pixels = { height: size.height * factor, width: size.width * factor };
  const picture = await read(path, 'white');
  const image = zeros('f32', [RGB, pixels.height, pixels.width]);
  writeModelValues(centerCrop(picture, pixels), image.data);
  if (maskPath === undefined) return { image };
  const mask = await read(maskPath, 'black');
  if (!sameSize(mask, picture)) {
    throw new ConfigError({
      where: maskPath,
      problem: `the mask is of ${formatImageSize(mask)}, the picture of ${formatImageSize(picture)}`,
      fix: 'give a mask of the same size, height x width',
    });
  }
  const values = maskValues(centerCrop(mask, pixels), size, factor);
  if (values.includes(1)) return { image, mask: hostTensor('f32', [size.height, size.width], values) };
  throw new ConfigError({
    where: maskPath,
    problem: 'nothing of the mask is white, so that nothing would be drawn',
    fix: 'paint white what is to be drawn anew',
  });
}

async function read(path: string, background: 'white' | 'black'): Promise<PixelImage> {
  try {
    const { image } = await decodeRgb(path, backgroundColour(path, background));
    return image;
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError({
      where: path,
      problem: `it cannot be read as a picture: ${error instanceof Error ? error.message : error}`,
      fix: 'give a PNG, JPEG, WebP or another picture',
      absent: error instanceof Error && isNowhere(error.cause),
      cause: error,
    });
  }
}

/** From here on a level is white. */
const WHITE = 128;

/** 1 wherever any pixel is white. */
function maskValues({ width, data, channels }: PixelImage, size: ImageSize, factor: number): Float32Array {
  const values = new Float32Array(size.height * size.width);
  const levelAt = (pixel: number): number => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += data[pixel * channels + c]!;
    return sum / channels;
  };
  for (let pixel = 0; pixel < data.length / channels; pixel++) {
    if (levelAt(pixel) < WHITE) continue;
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    values[Math.floor(row / factor) * size.width + Math.floor(column / factor)] = 1;
  }
  return values;
}
