/** @file What a person reads about the files of a data set: what was left out, and how pictures were changed. */
import { printableLine } from '../core/printable.ts';
import { backgroundOf, type DataConfig, orientationOf } from '../data/datasets/data-config.ts';
import { countedEndings } from '../data/datasets/image-listing-node.ts';
import type { OpenedData } from '../data/datasets/open-data-node.ts';
import { TREATMENTS, type TreatedSamples, type Treatment } from '../data/datasets/treatments.ts';

/** What a treatment does, where `data` leaves it to choose. */
function effectOf(treatment: Treatment, data: DataConfig): string {
  switch (treatment) {
    case 'turned':
      return orientationOf(data) === 'follow'
        ? 'upright, as EXIF says'
        : 'not, though EXIF says so (data.orientation=follow turns them upright)';
    case 'transparent':
      return describeBackground(backgroundOf(data));
    case 'clipped':
      return 'grey levels above 255 of 16 bits are white, as Pillow reads them';
    case 'cropped':
      return 'to their middle';
    case 'enlarged':
      return 'and blurred by it: they have fewer pixels than asked for';
  }
}

/** `laid on white` */
function describeBackground(background: string): string {
  return background === 'drop'
    ? 'dropped, so that colours hidden under it are learned (data.background=white lays pictures on white)'
    : `laid on ${background}`;
}

/** A label and a text: what was left out by name, and how many pictures had each treatment. */
export function describeFiles(
  { samples, skipped, passedOver, treated, recognised }: OpenedData,
  data: DataConfig,
): (readonly [label: string, text: string])[] {
  const { files, entries } = passedOver;
  const overlooked = [
    ...(files.length === 0 ? [] : [countedEndings(files)]),
    ...entries.map(({ name, reason }) => `${name}: ${reason}`),
  ];
  const treatments = TREATMENTS.map((treatment): readonly [string, string] => {
    const effect = effectOf(treatment, data);
    const count = treated?.[treatment].length;
    return [
      treatment,
      count === undefined ? `not counted: ${effect}` : count === 0 ? '0' : `${count}: ${effect}`,
    ];
  });
  return [
    ...(recognised === undefined ? [] : listed('recognised', [recognised])),
    ...listed('skipped', [
      String(skipped.length),
      ...skipped.map(({ name, reason }) => `${name}: ${reason}`),
    ]),
    ...listed('passed over', overlooked.length === 0 ? ['nothing'] : overlooked),
    // Latents are as they are.
    ...(samples.space.kind === 'pixels' ? treatments : []),
  ];
}

function listed(label: string, lines: readonly string[]): (readonly [string, string])[] {
  return lines.map((line, i) => [i === 0 ? label : '', printableLine(line)]);
}

/** The same for a program: which files were left out, and how many pictures had each treatment, if that is known. */
export function filesAsData({ skipped, passedOver, treated, recognised }: OpenedData) {
  return { recognised, skipped, passedOver, ...(treated === undefined ? {} : countsOf(treated)) };
}

export function countsOf(treated: TreatedSamples): Readonly<Record<Treatment, number>> {
  const counts = TREATMENTS.map((treatment) => [treatment, treated[treatment].length] as const);
  return Object.fromEntries(counts) as Record<Treatment, number>;
}

/** Those treatments of which nothing in a picture tells. */
const SURPRISES: readonly (readonly [Treatment, one: string, several: string])[] = [
  ['transparent', 'picture has transparency', 'pictures have transparency'],
  ['turned', 'picture is turned', 'pictures are turned'],
  ['clipped', 'picture is clipped', 'pictures are clipped'],
];

/** The same in sentences for the beginning of a training, of which nothing is said that needs no attention. */
export function noteFiles(
  { skipped, passedOver, treated, recognised }: OpenedData,
  data: DataConfig,
): string[] {
  const { files, entries } = passedOver;
  return [
    ...(recognised === undefined ? [] : [recognised]),
    ...skipped.map(({ name, reason }) => `warning: skipped ${name}: ${reason}`),
    ...entries.map(({ name, reason }) => `warning: passed over ${name}: ${reason}`),
    ...(files.length === 0 ? [] : [`files of other kinds passed over: ${countedEndings(files)}`]),
    ...SURPRISES.flatMap(([treatment, one, several]) => {
      const count = treated?.[treatment].length ?? 0;
      return count === 0 ? [] : [`${count} ${count === 1 ? one : several}: ${effectOf(treatment, data)}`];
    }),
  ];
}
