/** @file A data set of image files: class = folder name, the reference's centre crop, mirrored half of the time. */
import { resolve } from 'node:path';
import sharp from 'sharp';
import { DataError } from '../../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../../core/image-size.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import type { RandomKey } from '../../core/random.ts';
import { isMirrored } from '../images/augmentation.ts';
import { type Background, backgroundColour, type Rgb } from '../images/background.ts';
import { centerCrop } from '../images/center-crop.ts';
import { decodeRgb } from '../images/image-decode-node.ts';
import { IMAGE_ENDINGS } from '../images/image-formats.ts';
import type { Orientation } from '../images/orientation.ts';
import type { PixelImage } from '../images/pixel-image.ts';
import { writeModelValues } from '../images/pixels.ts';
import { faultOfPicture } from '../images/unreadable-image.ts';
import {
  emptyClassError,
  type ImageListing,
  type ListedImage,
  listImages,
  type PassedOver,
  type SkippedFile,
} from './image-listing-node.ts';
import type { CachedPixels } from './pixel-cache-node.ts';
import {
  cachedOrPrepared,
  forEachConcurrently,
  PREPARATION_OPTIONS,
  type PreparationOptions,
} from './preparation-node.ts';
import { checkReadBuffer, readImageSize, type Samples, UnreadableSample } from './samples.ts';
import { TREATMENTS, type TreatedSamples, type Treatment, treatedBy } from './treatments.ts';

export interface ImageFolderOptions extends PreparationOptions {
  /** Of the crops in pixels: `32`, or height and width as in `'48x32'`. */
  readonly imageSize: number | string;
  /** What pictures with transparency are laid on; white by default. */
  readonly background?: Background;
  /** Are pictures turned as EXIF says? `follow` by default. */
  readonly orientation?: Orientation;
  /** Files that are read, by the ending of their name; those of all formats by default. */
  readonly endings?: readonly string[] | 'all';
  /** Mirrors half of the training pictures; true by default, as the reference does. */
  readonly flip?: boolean;
  /** An image that cannot be read is an error; false by default: it is skipped and named. */
  readonly strict?: boolean;
  /** A class without a picture that can be read is kept, to be shown; false by default: it is an error. */
  readonly keepEmptyClasses?: boolean;
  /** Crops are kept in memory, as bytes, up to this many; a larger set is decoded while training. 1 GiB by default. */
  readonly memoryLimitBytes?: number;
}

const FOLDER_OPTIONS: OptionTable<ImageFolderOptions> = {
  ...PREPARATION_OPTIONS,
  imageSize: 'needed',
  background: 'optional',
  orientation: 'optional',
  endings: 'optional',
  flip: 'optional',
  strict: 'optional',
  keepEmptyClasses: 'optional',
  memoryLimitBytes: 'optional',
};

export interface ImageFolderSamples extends Samples {
  /**
   * Images left out because they cannot be read. When images are decoded while training, the list grows as they are
   * met, each with a warning, and reading one fails with {@link UnreadableSample}.
   */
  readonly skipped: readonly SkippedFile[];
  /** What lies beside the images. */
  readonly passedOver: PassedOver;
  /** How the images were changed; undefined when they are decoded while training. */
  readonly treated: TreatedSamples | undefined;
}

const CHANNELS = 3;
/** Changes with the pixels that are read from the same files, and with the manifest of the cache. */
const READER_VERSION = 2;
const MAX_SIDE = 4096;
const DEFAULT_MEMORY_LIMIT_BYTES = 2 ** 30;

/**
 * Opens a folder of class folders. Crops are prepared once and kept in the cache folder, until a file changes.
 *
 * @throws {@link DataError} if the folder cannot be used, a class has no readable image, or with `strict` any image
 * @throws ConfigError for a size or a background that makes no sense, or an option that does not exist
 */
export async function openImageFolder(
  root: string,
  options: ImageFolderOptions,
): Promise<ImageFolderSamples> {
  expectOptions(options, 'openImageFolder', FOLDER_OPTIONS);
  const size = readImageSize(root, options.imageSize, MAX_SIDE);
  const { background = 'white', orientation = 'follow', endings = 'all', keepEmptyClasses } = options;
  const colour = backgroundColour(root, background);
  const resolved = { ...options, size, background, orientation, colour };
  const listing = await listImages(root, endings === 'all' ? IMAGE_ENDINGS : endings, keepEmptyClasses);
  const bytesInMemory = listing.images.length * bytesOf(size);
  return bytesInMemory <= (options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT_BYTES)
    ? openInMemory(root, listing, resolved)
    : openOnDemand(root, listing, resolved);
}

interface ResolvedOptions extends ImageFolderOptions {
  readonly size: ImageSize;
  readonly background: Background;
  readonly orientation: Orientation;
  /** Of the background; null drops alpha. */
  readonly colour: Rgb | null;
}

/** What a cache file of crops says about them. */
interface CropManifest {
  /** Images without a crop, by index into the listing. */
  readonly unreadable: readonly (readonly [index: number, reason: string])[];
  /** Of the others, by index among them. */
  readonly treated: TreatedSamples;
}

async function openInMemory(
  root: string,
  listing: ImageListing,
  options: ResolvedOptions,
): Promise<ImageFolderSamples> {
  const { size, background, orientation, strict = false } = options;
  const imageSize = writtenImageSize(size);
  const files = listing.images.map(({ name, bytes, changedMs }) => [name, bytes, changedMs]);
  const { manifest, pixels } = await cachedOrPrepared<CropManifest>(
    `images-${imageSize}`,
    {
      root: resolve(root),
      imageSize,
      background,
      orientation,
      files,
      reader: READER_VERSION,
      sharp: sharp.versions,
    },
    options,
    () => prepareCrops(listing.images, options),
  );
  const skipped = manifest.unreadable.map(([index, reason]) => ({
    name: listing.images[index]!.name,
    reason,
  }));
  if (strict && skipped.length > 0) throw unreadableError(root, skipped);
  const unreadable = new Set(manifest.unreadable.map(([index]) => index));
  const images = listing.images.filter((_, index) => !unreadable.has(index));
  if (options.keepEmptyClasses !== true || images.length === 0) checkClasses(root, listing, images, skipped);

  const bytesPerImage = bytesOf(size);
  const cropAt = (index: number): PixelImage => ({
    ...size,
    channels: CHANNELS,
    data: pixels.subarray(index * bytesPerImage, (index + 1) * bytesPerImage),
  });
  const samples: ImageFolderSamples = {
    ...describe(root, listing, images, size),
    skipped,
    passedOver: listing.passedOver,
    treated: manifest.treated,
    read(index: number, key: RandomKey | null, out: Float32Array): void {
      checkReadBuffer(samples, out);
      writeModelValues(cropAt(index), out, mayMirror(options, key));
    },
  };
  return samples;
}

async function prepareCrops(
  images: readonly ListedImage[],
  options: ResolvedOptions,
): Promise<CachedPixels<CropManifest>> {
  const { size, onProgress } = options;
  const bytesPerImage = bytesOf(size);
  const pixels = new Uint8Array(images.length * bytesPerImage);
  const reasons = new Map<number, string>();
  const treatments = new Map<number, readonly Treatment[]>();
  let done = 0;
  await forEachConcurrently(images.length, async (index) => {
    try {
      const crop = await readCrop(images[index]!, options);
      pixels.set(crop.data, index * bytesPerImage);
      treatments.set(index, crop.treatments);
    } catch (error) {
      reasons.set(index, faultOfPicture(error));
    }
    onProgress?.(++done, images.length);
  });
  const readable = [...images.keys()].filter((index) => !reasons.has(index));
  return {
    manifest: {
      unreadable: [...reasons].sort(([a], [b]) => a - b),
      treated: treatedBy((treatment) =>
        [...readable.keys()].filter((i) => treatments.get(readable[i]!)!.includes(treatment)),
      ),
    },
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
  const skipped: SkippedFile[] = [];

  /** Remembers why an image has no crop. */
  function noteUnreadable(index: number, cause: unknown): UnreadableSample {
    const { name, label } = images[index]!;
    const image = { name, reason: faultOfPicture(cause) };
    if (strict) throw unreadableError(root, [image]);
    const known = unreadable.get(index);
    if (known !== undefined) return known;
    const failure = new UnreadableSample({ where: `${root}: ${name}`, problem: image.reason, cause });
    unreadable.set(index, failure);
    skipped.push(image);
    options.onWarning?.(`skipped ${name}: ${image.reason}`);
    const isClassEmpty = images.every((other, i) => other.label !== label || unreadable.has(i));
    if (isClassEmpty && options.keepEmptyClasses !== true)
      throw emptyClassError(root, [listing.classNames[label]!], factsOf(skipped));
    return failure;
  }

  const samples: ImageFolderSamples = {
    ...describe(root, listing, images, size),
    skipped,
    passedOver: listing.passedOver,
    treated: undefined,
    async read(index: number, key: RandomKey | null, out: Float32Array): Promise<void> {
      checkReadBuffer(samples, out);
      const known = unreadable.get(index);
      if (known !== undefined) throw known;
      const crop = await readCrop(images[index]!, options).catch((cause: unknown) => {
        throw noteUnreadable(index, cause);
      });
      writeModelValues(crop, out, mayMirror(options, key));
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

async function readCrop(
  { path }: ListedImage,
  { size, colour, orientation }: ResolvedOptions,
): Promise<PixelImage & { readonly treatments: readonly Treatment[] }> {
  const { image, ...decoded } = await decodeRgb(path, colour, orientation);
  const facts: Readonly<Record<Treatment, boolean>> = {
    ...decoded,
    cropped: image.width * size.height !== image.height * size.width,
    enlarged: image.width < size.width || image.height < size.height,
  };
  return { ...centerCrop(image, size), treatments: TREATMENTS.filter((treatment) => facts[treatment]) };
}

function mayMirror({ flip = true }: ImageFolderOptions, key: RandomKey | null): boolean {
  return flip && key !== null && isMirrored(key);
}

function checkClasses(
  root: string,
  { classNames }: ImageListing,
  readable: readonly ListedImage[],
  skipped: readonly SkippedFile[],
): void {
  const present = new Set(readable.map((image) => image.label));
  const missing = classNames.filter((_, label) => !present.has(label));
  if (missing.length > 0) throw emptyClassError(root, missing, factsOf(skipped));
}

const MAX_FACTS = 5;

function factsOf(skipped: readonly SkippedFile[]): [label: string, text: string][] {
  const facts = skipped.slice(0, MAX_FACTS).map(({ name, reason }): [string, string] => [name, reason]);
  if (skipped.length > MAX_FACTS) facts.push(['…', `and ${skipped.length - MAX_FACTS} more`]);
  return facts;
}

function unreadableError(root: string, images: readonly SkippedFile[]): DataError {
  const [{ name, reason }] = images as [SkippedFile];
  const several = images.length > 1;
  return new DataError({
    where: root,
    problem: several ? `${images.length} images cannot be read` : `${name} cannot be read: ${reason}`,
    facts: several ? images.map((image) => [image.name, image.reason] as const) : [],
    fix: `mend or remove the ${several ? 'files' : 'file'}, or leave out --strict to skip such images`,
  });
}
