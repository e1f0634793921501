/**
 * @file The embedded dataset: 1,870 emoji in nine classes, at any size, drawn on white. Artwork: Twemoji, CC-BY 4.0.
 * Rasterised once by sharp and kept in the cache folder.
 */
import sharp from 'sharp';
import { ConfigError } from '../../core/errors.ts';
import { formatImageSize, isSquare } from '../../core/image-size.ts';
import type { RandomKey } from '../../core/random.ts';
import { fillCanvas, isMirrored, placeRandomly } from '../images/augmentation.ts';
import type { PixelImage } from '../images/pixel-image.ts';
import { writeModelValues } from '../images/pixels.ts';
import { type Emoji, type EmojiCatalogue, readEmojiCatalogue } from './emoji-catalogue-node.ts';
import { cachedOrPrepared, forEachConcurrently, type PreparationOptions } from './preparation-node.ts';
import { checkReadBuffer, readImageSize, type Samples } from './samples.ts';

/**
 * What training varies. `none`: nothing. `flip`: mirrored half of the time. `emoji`: mirrored only where the mirror
 * image is as good (no flags, no symbols), and slightly smaller and off the middle.
 */
export type EmojiAugmentation = 'none' | 'flip' | 'emoji';

export interface EmojiOptions extends PreparationOptions {
  /** Height and width in pixels, which are equal. */
  readonly imageSize: number | string;
  /** `emoji` by default. */
  readonly augment?: EmojiAugmentation;
}

export interface EmojiSamples extends Samples {
  /** Unicode's name of each picture, e.g. "grinning face". */
  readonly titles: readonly string[];
}

const CHANNELS = 3;

/** Mirrored, a flag becomes another country's and a letter unreadable. */
const DIRECTED_CLASSES: ReadonlySet<string> = new Set(['Symbols', 'Flags']);

/** Masters are drawn at twice the size for sharp shrinking, up to this size; beyond it a shrunk pixel no longer shows. */
const LARGEST_DOUBLED_SIZE = 64;

/** All masters of this size take 1.4 GiB. */
const MAX_IMAGE_SIZE = 512;

/** Side of the artwork's view box, which is one unit per pixel at 72 dpi. */
const ARTWORK_SIZE = 36;
const ARTWORK_DPI = 72;

/** Opens the emoji; takes a few seconds the first time a size is asked for. */
export async function openEmoji(options: EmojiOptions): Promise<EmojiSamples> {
  const { augment = 'emoji' } = options;
  const imageSize = sideOf(options.imageSize);
  const catalogue = await readEmojiCatalogue();
  const masterSize = imageSize <= LARGEST_DOUBLED_SIZE ? 2 * imageSize : imageSize;
  const stems = catalogue.emojis.map((emoji) => emoji.stem);
  const { pixels } = await cachedOrPrepared(
    `emoji-${masterSize}`,
    { masterSize, stems, sources: catalogue.sources, sharp: sharp.versions },
    options,
    async () => ({ manifest: {}, pixels: await rasteriseAll(catalogue.emojis, masterSize, options) }),
  );
  return emojiSamples(catalogue, pixels, masterSize, imageSize, augment);
}

function sideOf(imageSize: number | string): number {
  const size = readImageSize('emoji', imageSize, MAX_IMAGE_SIZE);
  if (isSquare(size)) return size.height;
  throw new ConfigError({
    where: 'emoji',
    problem: `they are square, but the image size is ${formatImageSize(size)}`,
    fix: `use ${Math.min(size.height, size.width)}, or a folder of pictures`,
  });
}

function emojiSamples(
  { classNames, emojis }: EmojiCatalogue,
  pixels: Uint8Array,
  masterSize: number,
  imageSize: number,
  augment: EmojiAugmentation,
): EmojiSamples {
  const bytesPerMaster = masterSize * masterSize * CHANNELS;
  const masterAt = (index: number): PixelImage => ({
    width: masterSize,
    height: masterSize,
    channels: CHANNELS,
    data: pixels.subarray(index * bytesPerMaster, (index + 1) * bytesPerMaster),
  });
  const mayMirror = classNames.map((name) => augment === 'flip' || !DIRECTED_CLASSES.has(name));
  const samples: EmojiSamples = {
    name: 'emoji',
    classNames,
    shape: [CHANNELS, imageSize, imageSize],
    space: { kind: 'pixels' },
    length: emojis.length,
    labels: Int32Array.from(emojis, (emoji) => emoji.label),
    sampleNames: emojis.map((emoji) => emoji.stem),
    titles: emojis.map((emoji) => emoji.title),
    read(index: number, key: RandomKey | null, out: Float32Array): void {
      checkReadBuffer(samples, out);
      const master = masterAt(index);
      const drawnKey = augment === 'none' ? null : key;
      const isPlaced = drawnKey !== null && augment === 'emoji';
      const picture = isPlaced ? placeRandomly(master, imageSize, drawnKey) : fillCanvas(master, imageSize);
      const mirrored = drawnKey !== null && mayMirror[emojis[index]!.label]! && isMirrored(drawnKey);
      writeModelValues(picture, out, mirrored);
    },
  };
  return samples;
}

async function rasteriseAll(
  emojis: readonly Emoji[],
  size: number,
  options: PreparationOptions,
): Promise<Uint8Array> {
  const bytesPerImage = size * size * CHANNELS;
  const pixels = new Uint8Array(emojis.length * bytesPerImage);
  let done = 0;
  // Pictures this small are drawn faster side by side than each on several threads.
  const threadsPerImage = sharp.concurrency();
  sharp.concurrency(1);
  try {
    await forEachConcurrently(emojis.length, async (index) => {
      pixels.set(await rasterise(emojis[index]!.svgPath, size), index * bytesPerImage);
      options.onProgress?.(++done, emojis.length);
    });
  } finally {
    sharp.concurrency(threadsPerImage);
  }
  return pixels;
}

/** `size` × `size` RGB bytes on white. */
function rasterise(svgPath: string, size: number): Promise<Uint8Array> {
  return sharp(svgPath, { density: (ARTWORK_DPI * size) / ARTWORK_SIZE })
    .resize(size, size)
    .flatten({ background: '#ffffff' })
    .raw()
    .toBuffer();
}
