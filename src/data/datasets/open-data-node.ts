/** @file Opens the data that a configuration names. */
import type { DataKind, DataOf } from './data-config.ts';
import { type EmojiOptions, openEmoji } from './emoji-node.ts';
import { openImageFolder, type SkippedImage } from './image-folder-node.ts';
import { expectNoLatents, openLatents } from './latents/open-latents-node.ts';
import type { PreparationOptions } from './preparation-node.ts';
import type { Samples } from './samples.ts';

export interface OpenedData {
  readonly samples: Samples;
  /** Left out because they cannot be read. */
  readonly skipped: readonly SkippedImage[];
  /** How many pictures show what is behind them; undefined where that is found out only while training. */
  readonly transparent: number | undefined;
  /** What was recognised in data of others, in one line. */
  readonly recognised?: string;
}

type Openers = {
  readonly [Kind in DataKind]: (data: DataOf<Kind>, options: PreparationOptions) => Promise<OpenedData>;
};

const OPENERS: Openers = {
  emoji: ({ imageSize, augment }, options) => openArtwork({ ...options, imageSize, augment }),
  'emoji-3d': ({ imageSize, augment }, options) =>
    openArtwork({ ...options, artwork: 'fluent-3d', imageSize, augment }),
  folder: async ({ path, imageSize, augment, background, strict }, options) => {
    await expectNoLatents(path);
    const flip = augment !== 'none';
    const samples = await openImageFolder(path, { ...options, imageSize, background, flip, strict });
    return { samples, skipped: samples.skipped, transparent: samples.transparent };
  },
  latents: async ({ path, imageSize, augment }, options) => {
    const flip = augment !== 'none';
    const { samples, recognised } = await openLatents(path, { ...options, imageSize, flip });
    return { samples, skipped: [], transparent: 0, recognised };
  },
};

async function openArtwork(options: EmojiOptions): Promise<OpenedData> {
  return { samples: await openEmoji(options), skipped: [], transparent: 0 };
}

/** @throws DataError or ConfigError if there are no such data, or not at this size */
export function openData<Kind extends DataKind>(
  data: DataOf<Kind> & { readonly kind: Kind },
  options: PreparationOptions,
): Promise<OpenedData> {
  return OPENERS[data.kind](data, options);
}
