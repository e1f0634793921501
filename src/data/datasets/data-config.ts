/** @file Kinds of data: one entry each, from which the schema of configurations, their defaults and the help follow. */
import * as v from 'valibot';
import { imageSize } from '../../core/values.ts';
import { BACKGROUNDS, type Background, isBackground } from '../images/background.ts';
import { IMAGE_ENDINGS } from '../images/image-formats.ts';
import { type Orientation, orientationSchema } from '../images/orientation.ts';

/** Settings that a run begins with: those of the paper, or those of pictures on a laptop. */
export type DataRecipe = 'paper' | 'laptop';

/** A kind of data. `open-data-node.ts` opens it. */
interface DataKindEntry<Schema extends v.GenericSchema> {
  /** The kind, and all options that a configuration has for it. */
  readonly schema: Schema;
  /** Options of which a configuration says nothing. */
  readonly defaults: Readonly<Record<DataRecipe, Omit<v.InferInput<Schema>, 'kind' | 'path'>>>;
  /** What `--data-path` is given for it. */
  readonly path: string;
}

/** Ensures that defaults are complete, and keeps the type of the schema. */
const kindOfData = <Schema extends v.GenericSchema>(entry: DataKindEntry<Schema>): DataKindEntry<Schema> =>
  entry;

/** Options of data of every kind, which augment each in their own way. */
const shared = {
  imageSize,
  /** Every class comes up equally often, however few pictures it has. */
  balanceClasses: v.boolean(),
  /** Share of the pictures that training never sees. */
  heldOutFraction: v.pipe(v.number(), v.minValue(0), v.ltValue(1)),
};
const sharedDefaults = { imageSize: 32, balanceClasses: false, heldOutFraction: 0.1 };

function emojiOf<Kind extends 'emoji' | 'emoji-3d'>(kind: Kind, imageSize: number) {
  return kindOfData({
    schema: v.strictObject({
      kind: v.literal(kind),
      ...shared,
      augment: v.picklist(['none', 'flip', 'emoji']),
    }),
    defaults: {
      paper: { ...sharedDefaults, imageSize, augment: 'flip' },
      // Drawn on white, emoji may be moved about; photographs fill their frame.
      laptop: { ...sharedDefaults, imageSize, augment: 'emoji' },
    },
    path: `"${kind}"`,
  });
}

const emoji = emojiOf('emoji', 32);
/** Rendered in 256×256 pixels. */
const emoji3d = emojiOf('emoji-3d', 128);

const folderDefaults = { ...sharedDefaults, augment: 'flip', endings: 'all', strict: false } as const;

const folder = kindOfData({
  schema: v.strictObject({
    kind: v.literal('folder'),
    /** A folder of class folders. */
    path: v.string(),
    ...shared,
    augment: v.picklist(['none', 'flip']),
    /** What pictures with transparency are laid on. */
    background: v.custom<Background>(isBackground, BACKGROUNDS),
    orientation: orientationSchema,
    /** Files that are read, by the ending of their name. */
    endings: v.custom<'all' | readonly string[]>(
      isEndings,
      `all, or a list among ${IMAGE_ENDINGS.join(', ')}`,
    ),
    /** An unreadable image is an error. */
    strict: v.boolean(),
  }),
  defaults: {
    // As in the paper's code, which reads pictures with PIL's convert('RGB').
    paper: { ...folderDefaults, background: 'drop', orientation: 'ignore' },
    laptop: { ...folderDefaults, background: 'white', orientation: 'follow' },
  },
  path: 'a folder with a folder of images per class',
});

const latents = kindOfData({
  schema: v.strictObject({
    kind: v.literal('latents'),
    /** Encoded pictures, of `udit encode` or of others. */
    path: v.string(),
    ...shared,
    /** That of the pictures; null: as the latents are. */
    imageSize: v.nullable(shared.imageSize),
    augment: v.picklist(['none', 'flip']),
  }),
  defaults: {
    paper: { ...sharedDefaults, imageSize: null, augment: 'flip' },
    laptop: { ...sharedDefaults, imageSize: null, augment: 'flip' },
  },
  path: 'latents',
});

/** Every kind by its name. */
export const DATA_KINDS = { emoji, 'emoji-3d': emoji3d, folder, latents };

export const dataSchema = v.variant(
  'kind',
  Object.values(DATA_KINDS).map(({ schema }) => schema),
);

export type DataConfig = v.InferOutput<typeof dataSchema>;
export type DataKind = keyof typeof DATA_KINDS;
export type DataOf<Kind extends DataKind> = Extract<DataConfig, { readonly kind: Kind }>;

/** Options that mean the same for data of every kind. */
export const SHARED_DATA_OPTIONS: readonly string[] = [...Object.keys(shared), 'augment'];

/** What users call these data: their path, or their kind. */
export function dataName(data: DataConfig): string {
  return 'path' in data ? data.path : data.kind;
}

/** What pictures with transparency are laid on. */
export function backgroundOf(data: DataConfig): Background {
  return 'background' in data ? data.background : 'white';
}

/** Are pictures turned as EXIF says? */
export function orientationOf(data: DataConfig): Orientation {
  return 'orientation' in data ? data.orientation : 'follow';
}

function isEndings(value: unknown): boolean {
  if (!Array.isArray(value)) return value === 'all';
  return value.length > 0 && value.every((ending) => IMAGE_ENDINGS.includes(ending));
}
