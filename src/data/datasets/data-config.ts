/** @file The options of data sets by kind: what a configuration says about its data. */
import * as v from 'valibot';
import { parseImageSize, writtenImageSize } from '../../core/image-size.ts';
import { BACKGROUNDS, type Background, isBackground } from '../images/background.ts';

const imageSize = v.pipe(
  v.custom<number | string>(isImageSize, 'a whole number, or height x width such as 48x32'),
  v.transform((size) => writtenImageSize(parseImageSize(size))),
);

/** Every class comes up equally often, however few pictures it has. */
const balanceClasses = v.boolean();

/** Share of the pictures that training never sees. */
const heldOutFraction = v.pipe(v.number(), v.minValue(0), v.ltValue(1));

const emoji = v.strictObject({
  kind: v.literal('emoji'),
  imageSize,
  augment: v.picklist(['none', 'flip', 'emoji']),
  balanceClasses,
  heldOutFraction,
});

const folder = v.strictObject({
  kind: v.literal('folder'),
  /** A folder of class folders. */
  path: v.string(),
  imageSize,
  augment: v.picklist(['none', 'flip']),
  /** What pictures with transparency are laid on. */
  background: v.custom<Background>(isBackground, BACKGROUNDS),
  balanceClasses,
  heldOutFraction,
  /** An unreadable image is an error. */
  strict: v.boolean(),
});

export const dataSchema = v.variant('kind', [emoji, folder]);

export type DataConfig = v.InferOutput<typeof dataSchema>;
export type DataKind = DataConfig['kind'];
export type DataOf<Kind extends DataKind> = Extract<DataConfig, { readonly kind: Kind }>;

/** Options that mean the same for data of every kind. */
export const SHARED_DATA_OPTIONS = ['imageSize', 'augment', 'balanceClasses', 'heldOutFraction'] as const;

/** What users call these data: a folder's path, or their kind. */
export function dataName(data: DataConfig): string {
  return data.kind === 'folder' ? data.path : data.kind;
}

/** What pictures with transparency are laid on. */
export function backgroundOf(data: DataConfig): Background {
  return data.kind === 'folder' ? data.background : 'white';
}

function isImageSize(value: unknown): boolean {
  if (typeof value !== 'number' && typeof value !== 'string') return false;
  try {
    parseImageSize(value);
    return true;
  } catch {
    return false;
  }
}
