/**
 * @file The embedded datasets: emoji in nine classes, drawn on white. 1,870 of Twemoji at any size, and 1,852 of Fluent
 * Emoji, rendered in three dimensions, up to 256×256. Rasterised once by sharp and kept in the cache folder.
 */
import sharp from 'sharp';
import { ConfigError } from '../../core/errors.ts';
import { formatImageSize, isSquare } from '../../core/image-size.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import type { RandomKey } from '../../core/random.ts';
import { fillCanvas, isMirrored, placeRandomly } from '../images/augmentation.ts';
import type { PixelImage } from '../images/pixel-image.ts';
import { writeModelValues } from '../images/pixels.ts';
import { type Artwork, type Emoji, type EmojiCatalogue, readEmojiCatalogue } from './emoji-catalogue-node.ts';
import {
  cachedOrPrepared,
  forEachConcurrently,
  PREPARATION_OPTIONS,
  type PreparationOptions,
} from './preparation-node.ts';
import { checkReadBuffer, readImageSize, type Samples } from './samples.ts';

/**
 * What training varies. `none`: nothing. `flip`: mirrored half of the time. `emoji`: mirrored only where the mirror
 * image is as good (no flags, no symbols), and slightly smaller and off the middle.
 */
export type EmojiAugmentation = 'none' | 'flip' | 'emoji';

export interface EmojiOptions extends PreparationOptions {
  /** `twemoji` by default. */
  readonly artwork?: Artwork;
  /** Height and width in pixels, which are equal. */
  readonly imageSize: number | string;
  /** `emoji` by default. */
  readonly augment?: EmojiAugmentation;
}

const EMOJI_OPTIONS: OptionTable<EmojiOptions> = {
  ...PREPARATION_OPTIONS,
  artwork: 'optional',
  imageSize: 'needed',
  augment: 'optional',
};

export interface EmojiSamples extends Samples {
  /** Unicode's name of each picture, e.g. "grinning face". */
  readonly titles: readonly string[];
}

const CHANNELS = 3;

/** Mirrored, a flag becomes another country's and a letter unreadable. */
const DIRECTED_CLASSES: ReadonlySet<string> = new Set(['Symbols', 'Flags']);

/** Is a picture of this class another one than its mirror image? */
export const isDirected = (className: string): boolean => DIRECTED_CLASSES.has(className);

/** The artwork of each data set. */
export const ARTWORK_OF = { emoji: 'twemoji', 'emoji-3d': 'fluent-3d' } as const;
export type EmojiKind = keyof typeof ARTWORK_OF;

export const isEmojiKind = (name: string): name is EmojiKind => Object.hasOwn(ARTWORK_OF, name);

/** Masters are drawn at twice the size for sharp shrinking, up to this size; beyond it a shrunk pixel no longer shows. */
const LARGEST_DOUBLED_SIZE = 64;

interface ArtworkTraits {
  /** What users call these data; also the beginning of the name of their cached pixels. */
  readonly name: string;
  /** Side in pixels. */
  readonly largest: number;
  /** Resolution at which a drawing of lines has `size` pixels. */
  density?(size: number): number;
}

const ARTWORKS: Readonly<Record<Artwork, ArtworkTraits>> = {
  // All masters of 512 pixels take 1.4 GiB. The view box has 36 units, of one pixel each at 72 dpi.
  twemoji: { name: 'emoji', largest: 512, density: (size) => (72 * size) / 36 },
  'fluent-3d': { name: 'emoji-3d', largest: 256 },
};

/** Opens the emoji; takes a few seconds the first time a size is asked for. */
export async function openEmoji(options: EmojiOptions): Promise<EmojiSamples> {
  expectOptions(options, 'openEmoji', EMOJI_OPTIONS);
  const { augment = 'emoji', artwork = 'twemoji' } = options;
  const { name, largest } = ARTWORKS[artwork];
  const imageSize = sideOf(options.imageSize, name, largest);
  const catalogue = await readEmojiCatalogue(artwork);
  const masterSize = imageSize <= LARGEST_DOUBLED_SIZE ? 2 * imageSize : imageSize;
  const stems = catalogue.emojis.map((emoji) => emoji.stem);
  const { pixels } = await cachedOrPrepared(
    `${name}-${masterSize}`,
    { masterSize, stems, sources: catalogue.sources, sharp: sharp.versions },
    options,
    async () => ({
      manifest: {},
      pixels: await rasteriseAll(catalogue.emojis, artwork, masterSize, options),
    }),
  );
  return emojiSamples(name, catalogue, pixels, masterSize, imageSize, augment);
}

function sideOf(imageSize: number | string, name: string, largest: number): number {
  const size = readImageSize(name, imageSize, largest);
  if (isSquare(size)) return size.height;
  throw new ConfigError({
    where: name,
    problem: `they are square, but the image size is ${formatImageSize(size)}`,
    fix: `use ${Math.min(size.height, size.width)}, or a folder of pictures`,
  });
}

function emojiSamples(
  name: string,
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
  const mayMirror = classNames.map((name) => augment === 'flip' || !isDirected(name));
  const samples: EmojiSamples = {
    name,
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
  artwork: Artwork,
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
      pixels.set(await rasterise(emojis[index]!.path, size, artwork), index * bytesPerImage);
      options.onProgress?.(++done, emojis.length);
    });
  } finally {
    sharp.concurrency(threadsPerImage);
  }
  return pixels;
}

/** `size` × `size` RGB bytes on white. */
function rasterise(path: string, size: number, artwork: Artwork): Promise<Uint8Array> {
  return drawEmoji(path, size, artwork).flatten({ background: '#ffffff' }).raw().toBuffer();
}

/** A picture with `size` × `size` pixels; what is around it is transparent. */
export function drawEmoji(path: string, size: number, artwork: Artwork) {
  const { density } = ARTWORKS[artwork];
  return sharp(path, density === undefined ? {} : { density: density(size) }).resize(size, size);
}
