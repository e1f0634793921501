/** @file The flags of drawing on the way from one picture to another. */
import type { Command } from 'commander';
import { ConfigError } from '../core/errors.ts';
import { type ClassList, chooseClasses } from '../tasks/sampling/classes.ts';
import type { Way, Ways } from '../tasks/sampling/way-files-node.ts';
import { wholeNumber } from './flags.ts';

export interface InterpolationFlags {
  readonly interpolate?: number;
  readonly toSeed?: number;
  readonly toClasses?: string;
  readonly animate?: true;
}

export function withInterpolationFlags(command: Command): Command {
  return command
    .optionsGroup('Pictures on the way from one to another, in place of single ones:')
    .option(
      '--interpolate <n>',
      'n pictures from each class and seed to those at the end, a row of interpolation.png',
      wholeNumber({ from: 2 }),
    )
    .option(
      '--to-seed <n>',
      'seed at the end (default: the noise stays, only the class changes)',
      wholeNumber({ from: 0 }),
    )
    .option(
      '--to-classes <list>',
      'classes at the end, one for each of --classes or for all (default: the same)',
    )
    .option('--animate', 'write interpolation.webp too: all ways at once, there and back');
}

/** Other flags of the command, of which these say what is not drawn on a way. */
type OtherFlags = Readonly<Record<string, unknown>>;

/** What a way has not: its pictures are drawn from two noises, and go into one sheet. */
const UNFIT: readonly (readonly [flag: string, isGiven: (flags: OtherFlags) => boolean])[] = [
  ['--noise', ({ noise }) => noise !== undefined],
  ['--init-image', ({ initImage }) => initImage !== undefined],
  ['--strength', ({ strength }) => strength !== undefined],
  ['--mask', ({ mask }) => mask !== undefined],
  ['--part', ({ part }) => part !== undefined],
  ['--npz', ({ npz }) => npz === true],
  ['--no-png', ({ png }) => png === false],
  ['--previews', ({ previews }) => previews === true],
  ['--latents', ({ latents }) => latents === true],
];

/**
 * The ways from some classes and a seed to others; undefined where no ways are to be drawn.
 *
 * @param labels - at the beginning
 * @param count - ways of each class
 * @throws ConfigError for flags that need `--interpolate` or do not go with it, and for a way that leads nowhere
 */
export function waysOf(
  flags: InterpolationFlags & OtherFlags & { readonly seed: number },
  labels: readonly number[],
  count: number,
  classes: ClassList,
): Ways | undefined {
  const { interpolate: pictures, seed, toSeed, toClasses, animate } = flags;
  if (pictures === undefined) {
    const lost = { '--to-seed': toSeed, '--to-classes': toClasses, '--animate': animate };
    const given = Object.entries(lost).find(([, value]) => value !== undefined);
    if (given === undefined) return undefined;
    throw new ConfigError({
      where: given[0],
      problem: 'there is no way from one picture to another that it could be of',
      fix: `add --interpolate 8, or leave ${given[0]} out`,
    });
  }
  const unfit = UNFIT.filter(([, isGiven]) => isGiven(flags)).map(([flag]) => flag);
  if (unfit.length > 0) {
    throw new ConfigError({
      where: '--interpolate',
      problem: `pictures on a way go from noise to noise into a sheet, which ${unfit.join(', ')} cannot change`,
      fix: `leave ${unfit.join(', ')} out`,
    });
  }
  const ends = endsOf(labels, toClasses, classes);
  const leadsNowhere = labels.find((label, i) => label === ends[i] && (toSeed ?? seed) === seed);
  if (leadsNowhere !== undefined) {
    throw new ConfigError({
      where: '--interpolate',
      problem: `the way of class ${leadsNowhere} ends where it begins: class and seed are the same`,
      fix: 'add --to-seed, or other classes with --to-classes',
    });
  }
  const ways = labels.flatMap((label, i) =>
    Array.from(
      { length: count },
      (_, index): Way => ({ from: { label, index }, to: { label: ends[i]!, index } }),
    ),
  );
  return { ways, pictures, seed, toSeed };
}

/** The class at the end of each way. */
function endsOf(
  labels: readonly number[],
  toClasses: string | undefined,
  classes: ClassList,
): readonly number[] {
  if (toClasses === undefined) return labels;
  const ends = chooseClasses(toClasses, classes, '--to-classes');
  if (ends.length === 1) return labels.map(() => ends[0]!);
  if (ends.length === labels.length) return ends;
  throw new ConfigError({
    where: '--to-classes',
    problem: `${ends.length} classes are at the end of the ways, and ${labels.length} at their beginning`,
    fix: 'give one for each of --classes, or one for all',
  });
}
