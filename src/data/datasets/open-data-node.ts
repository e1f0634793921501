/** @file Opens the data that a configuration names. */
import type { DataKind, DataOf } from './data-config.ts';
import { ARTWORK_OF, type EmojiOptions, openEmoji } from './emoji-node.ts';
import { type ImageFolderOptions, openImageFolder } from './image-folder-node.ts';
import { NOTHING_PASSED_OVER, type PassedOver, type SkippedFile } from './image-listing-node.ts';
import { expectNoLatents, openLatents } from './latents/open-latents-node.ts';
import type { PreparationOptions } from './preparation-node.ts';
import type { Samples } from './samples.ts';
import { type TreatedSamples, UNTREATED } from './treatments.ts';

export interface OpenedData {
  readonly samples: Samples;
  /** Left out because they cannot be read. */
  readonly skipped: readonly SkippedFile[];
  /** What lies beside them. */
  readonly passedOver: PassedOver;
  /** How pictures were changed; undefined where that is found out only while training. */
  readonly treated: TreatedSamples | undefined;
  /** What was recognised in data of others, in one line. */
  readonly recognised?: string;
}

/** Of data that are no files of pictures. */
const NO_FILES = { skipped: [], passedOver: NOTHING_PASSED_OVER, treated: UNTREATED } as const;

type OpeningOptions = PreparationOptions & Pick<ImageFolderOptions, 'keepEmptyClasses'>;

type Openers = {
  readonly [Kind in DataKind]: (
    data: DataOf<Kind>,
    options: PreparationOptions,
    empty: Pick<ImageFolderOptions, 'keepEmptyClasses'>,
  ) => Promise<OpenedData>;
};

const OPENERS: Openers = {
  emoji: ({ imageSize, augment }, options) => openArtwork({ ...options, imageSize, augment }),
  'emoji-3d': ({ imageSize, augment }, options) =>
    openArtwork({ ...options, artwork: ARTWORK_OF['emoji-3d'], imageSize, augment }),
  folder: async (data, options, empty) => {
    const { path, augment, imageSize, background, orientation, endings, strict } = data;
    await expectNoLatents(path);
    const reading = { imageSize, background, orientation, endings, strict, flip: augment !== 'none' };
    const samples = await openImageFolder(path, { ...options, ...empty, ...reading });
    const { skipped, passedOver, treated } = samples;
    return { samples, skipped, passedOver, treated };
  },
  latents: async ({ path, imageSize, augment }, options) => {
    const flip = augment !== 'none';
    const { samples, recognised } = await openLatents(path, { ...options, imageSize, flip });
    return { samples, ...NO_FILES, recognised };
  },
};

async function openArtwork(options: EmojiOptions): Promise<OpenedData> {
  const samples = await openEmoji(options);
  return { samples, ...NO_FILES };
}

/** @throws DataError or ConfigError if there are no such data, or not at this size */
export function openData<Kind extends DataKind>(
  data: DataOf<Kind> & { readonly kind: Kind },
  { keepEmptyClasses = false, ...options }: OpeningOptions,
): Promise<OpenedData> {
  return OPENERS[data.kind](data, options, { keepEmptyClasses });
}
