/** @file A data set of image files: class = folder name, the reference's centre crop, mirrored half of the time. */
import { resolve } from 'node:path';
import sharp from 'sharp';
import { DataError, UditError } from '../../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../../core/image-size.ts';
import type { RandomKey } from '../../core/random.ts';
import { isMirrored } from '../images/augmentation.ts';
import { type Background, backgroundColour, type Rgb } from '../images/background.ts';
import { centerCrop } from '../images/center-crop.ts';
import { decodeRgb } from '../images/image-decode-node.ts';
import type { PixelImage } from '../images/pixel-image.ts';
import { writeModelValues } from '../images/pixels.ts';
import { emptyClassError, type ImageListing, type ListedImage, listImages } from './image-listing-node.ts';
import type { CachedPixels } from './pixel-cache-node.ts';
import { cachedOrPrepared, forEachConcurrently, type PreparationOptions } from './preparation-node.ts';
import { checkReadBuffer, readImageSize, type Samples, UnreadableSample } from './samples.ts';

export interface ImageFolderOptions extends PreparationOptions {
  /** Of the crops in pixels: `32`, or height and width as in `'48x32'`. */
  readonly imageSize: number | string;
  /** What pictures with transparency are laid on; white by default. */
  readonly background?: Background;
  /** Mirrors half of the training pictures; true by default, as the reference does. */
  readonly flip?: boolean;
  /** An image that cannot be read is an error; false by default: it is skipped and named. */
  readonly strict?: boolean;
  /** Crops are kept in memory, as bytes, up to this many; a larger set is decoded while training. 1 GiB by default. */
  readonly memoryLimitBytes?: number;
}

export interface SkippedImage {
  /** Path inside the folder. */
  readonly name: string;
  /** One line that says why it cannot be read. */
  readonly reason: string;
}

export interface ImageFolderSamples extends Samples {
  /**
   * Images left out because they cannot be read. When images are decoded while training, the list grows as they are
   * met, each with a warning, and reading one fails with {@link UnreadableSample}.
   */
  readonly skipped: readonly SkippedImage[];
  /** How many images show what is behind them; undefined when images are decoded while training. */
  readonly transparent: number | undefined;
}

const CHANNELS = 3;
const MAX_SIDE = 4096;
const DEFAULT_MEMORY_LIMIT_BYTES = 2 ** 30;

/**
 * Opens a folder of class folders. Crops are prepared once and kept in the cache folder, until a file changes.
 *
 * @throws {@link DataError} if the folder cannot be used, a class has no readable image, or with `strict` any image
 * @throws ConfigError for a size or a background that makes no sense
 */
export async function openImageFolder(
  root: string,
  options: ImageFolderOptions,
): Promise<ImageFolderSamples> {
  const size = readImageSize(root, options.imageSize, MAX_SIDE);
  const { background = 'white' } = options;
  const resolved = { ...options, size, background, colour: backgroundColour(root, background) };
  const listing = await listImages(root);
  const bytesInMemory = listing.images.length * bytesOf(size);
  return bytesInMemory <= (options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES)
    ? openInMemory(root, listing, resolved)
    : openOnDemand(root, listing, resolved);
}

interface ResolvedOptions extends ImageFolderOptions {
  readonly size: ImageSize;
  readonly background: Background;
  /** Of the background; null drops alpha. */
  readonly colour: Rgb | null;
}

/** What a cache file of crops says about them. */
interface CropManifest {
  /** Images without a crop, by index into the listing. */
  readonly unreadable: readonly (readonly [index: number, reason: string])[];
  /** How many of the others are not opaque everywhere. */
  readonly transparent: number;
}

async function openInMemory(
  root: string,
  listing: ImageListing,
  options: ResolvedOptions,
): Promise<ImageFolderSamples> {
  const { size, background, strict = false } = options;
  const imageSize = writtenImageSize(size);
  const files = listing.images.map(({ name, bytes, changedMs }) => [name, bytes, changedMs]);
  const { manifest, pixels } = await cachedOrPrepared<CropManifest>(
    `images-${imageSize}`,
    { root: resolve(root), imageSize, background, files, sharp: sharp.versions },
    options,
    () => prepareCrops(root, listing.images, options),
  );
  const skipped = manifest.unreadable.map(([index, reason]) => ({
    name: listing.images[index]!.name,
    reason,
  }));
  if (strict && skipped.length > 0) throw unreadableError(root, skipped[0]!);
  const unreadable = new Set(manifest.unreadable.map(([index]) => index));
  const images = listing.images.filter((_, index) => !unreadable.has(index));
  checkClasses(root, listing, images, skipped);

  const bytesPerImage = bytesOf(size);
  const cropAt = (index: number): PixelImage => ({
    ...size,
    channels: CHANNELS,
    data: pixels.subarray(index * bytesPerImage, (index + 1) * bytesPerImage),
  });
  const samples: ImageFolderSamples = {
    ...describe(root, listing, images, size),
    skipped,
    transparent: manifest.transparent,
    read(index: number, key: RandomKey | null, out: Float32Array): void {
      checkReadBuffer(samples, out);
      writeModelValues(cropAt(index), out, mayMirror(options, key));
    },
  };
  return samples;
}

async function prepareCrops(
  root: string,
  images: readonly ListedImage[],
  options: ResolvedOptions,
): Promise<CachedPixels<CropManifest>> {
  const { size, strict = false, onProgress } = options;
  const bytesPerImage = bytesOf(size);
  const pixels = new Uint8Array(images.length * bytesPerImage);
  const reasons = new Map<number, string>();
  let transparentCount = 0;
  let done = 0;
  await forEachConcurrently(images.length, async (index) => {
    try {
      const { crop, transparent } = await readCrop(images[index]!, options);
      pixels.set(crop, index * bytesPerImage);
      if (transparent) transparentCount++;
    } catch (error) {
      const reason = reasonOf(error);
      if (strict) throw unreadableError(root, { name: images[index]!.name, reason });
      reasons.set(index, reason);
    }
    onProgress?.(++done, images.length);
  });
  const unreadable = [...reasons].sort(([a], [b]) => a - b);
  return {
    manifest: { unreadable, transparent: transparentCount },
    pixels: withoutImages(pixels, bytesPerImage, reasons),
  };
}

/** Closes the gaps that unreadable images left, in place. */
function withoutImages(
  pixels: Uint8Array,
  bytesPerImage: number,
  left: ReadonlyMap<number, string>,
): Uint8Array {
  let end = 0;
  for (let index = 0; index * bytesPerImage < pixels.length; index++) {
    if (left.has(index)) continue;
    pixels.copyWithin(end, index * bytesPerImage, (index + 1) * bytesPerImage);
    end += bytesPerImage;
  }
  return pixels.subarray(0, end);
}

function openOnDemand(root: string, listing: ImageListing, options: ResolvedOptions): ImageFolderSamples {
  const { images } = listing;
  const { size, strict = false } = options;
  const unreadable = new Map<number, UnreadableSample>();
  const skipped: SkippedImage[] = [];

  /** Remembers why an image has no crop. */
  function noteUnreadable(index: number, cause: unknown): UnreadableSample {
    const { name, label } = images[index]!;
    const image = { name, reason: reasonOf(cause) };
    if (strict) throw unreadableError(root, image);
    const known = unreadable.get(index);
    if (known !== undefined) return known;
    const failure = new UnreadableSample({ where: `${root}: ${name}`, problem: image.reason, cause });
    unreadable.set(index, failure);
    skipped.push(image);
    options.onWarning?.(`skipped ${name}: ${image.reason}`);
    const isClassEmpty = images.every((other, i) => other.label !== label || unreadable.has(i));
    if (isClassEmpty) throw emptyClassError(root, [listing.classNames[label]!], factsOf(skipped));
    return failure;
  }

  const samples: ImageFolderSamples = {
    ...describe(root, listing, images, size),
    skipped,
    transparent: undefined,
    async read(index: number, key: RandomKey | null, out: Float32Array): Promise<void> {
      checkReadBuffer(samples, out);
      const known = unreadable.get(index);
      if (known !== undefined) throw known;
      const crop = await readCrop(images[index]!, options).catch((cause: unknown) => {
        throw noteUnreadable(index, cause);
      });
      writeModelValues({ ...size, channels: CHANNELS, data: crop.crop }, out, mayMirror(options, key));
    },
  };
  return samples;
}

function bytesOf({ height, width }: ImageSize): number {
  return height * width * CHANNELS;
}

function describe(
  root: string,
  { classNames }: ImageListing,
  images: readonly ListedImage[],
  { height, width }: ImageSize,
) {
  return {
    name: root,
    classNames,
    shape: [CHANNELS, height, width] as const,
    space: { kind: 'pixels' } as const,
    length: images.length,
    labels: Int32Array.from(images, (image) => image.label),
    sampleNames: images.map((image) => image.name),
  };
}

async function readCrop({ path }: ListedImage, { size, colour }: ResolvedOptions) {
  const { image, transparent } = await decodeRgb(path, colour);
  return { crop: centerCrop(image, size).data, transparent };
}

function mayMirror({ flip = true }: ImageFolderOptions, key: RandomKey | null): boolean {
  return flip && key !== null && isMirrored(key);
}

function checkClasses(
  root: string,
  { classNames }: ImageListing,
  readable: readonly ListedImage[],
  skipped: readonly SkippedImage[],
): void {
  const present = new Set(readable.map((image) => image.label));
  const missing = classNames.filter((_, label) => !present.has(label));
  if (missing.length > 0) throw emptyClassError(root, missing, factsOf(skipped));
}

const MAX_FACTS = 5;

function factsOf(skipped: readonly SkippedImage[]): [label: string, text: string][] {
  const facts = skipped.slice(0, MAX_FACTS).map(({ name, reason }): [string, string] => [name, reason]);
  if (skipped.length > MAX_FACTS) facts.push(['…', `and ${skipped.length - MAX_FACTS} more`]);
  return facts;
}

function unreadableError(root: string, { name, reason }: SkippedImage): DataError {
  return new DataError({
    where: root,
    problem: `${name} cannot be read: ${reason}`,
    fix: 'mend or remove the file, or leave out --strict to skip such images',
  });
}

/** Why an image cannot be read. What is no fault of the image is thrown on. */
function reasonOf(error: unknown): string {
  if (error instanceof UditError) throw error;
  return error instanceof Error ? error.message : String(error);
}
