/** @file Images on the way from one to another: their noise lies on an arc, the embedding of their class on a line. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import type { RandomKey } from '../../core/random.ts';
import { imageKey, type KeyBetween } from './image-noise.ts';

// N images asked for · B batch

/** Where the way ends that images are on. It begins with `labels`, `seed` and `indices` of the request. */
export interface Towards {
  /** The class of each image at the end, [N]. */
  readonly labels: readonly number[];
  /** Not negative. */
  readonly seed: number;
  /** The number of each image at the end, [N]. Default: those of the request. */
  readonly indices?: readonly number[] | undefined;
  /** How far each image is, [N]: 0 is the image at the beginning of its way, 1 that at the end. */
  readonly weights: readonly number[];
}

/** Second classes of a batch, as the graph takes them. */
export interface BatchMix {
  readonly labels: HostTensor<'i64'>;
  readonly weights: HostTensor<'f32'>;
}

/** What a way begins with. */
interface Beginning {
  readonly labels: readonly number[];
  readonly seed: number;
  readonly indices: readonly number[];
}

/** @throws ConfigError for a way that the sampler cannot draw, or lists of another length than the images */
export function expectTowards(
  { labels, weights }: Towards,
  from: Pick<Beginning, 'labels'>,
  mixesClasses: boolean,
): void {
  const where = 'towards';
  for (const [name, { length }] of Object.entries({ labels, weights })) {
    if (length === from.labels.length) continue;
    throw new ConfigError({
      where,
      problem: `${length} ${name} are given for ${from.labels.length} images`,
      fix: 'give one per image',
    });
  }
  const outside = weights.find((weight) => !(weight >= 0 && weight <= 1));
  if (outside !== undefined) {
    throw new ConfigError({ where, problem: `a weight is ${outside}`, fix: 'use numbers from 0 to 1' });
  }
  const other = labels.findIndex((label, i) => label !== from.labels[i]);
  if (other < 0 || mixesClasses) return;
  throw new ConfigError({
    where,
    problem: `image ${other} goes from class ${from.labels[other]} to ${labels[other]}, and the sampler draws one class at a time`,
    fix: 'create it with mixesClasses: true, or give both ends the same class',
  });
}

/** The randomness of an image on the way; that of the beginning where it stays the same. */
export function keyBetween(from: Beginning, towards: Towards, image: number): RandomKey | KeyBetween {
  const { indices = from.indices, seed, weights } = towards;
  const key = imageKey(from.seed, from.indices[image]!);
  if (seed === from.seed && indices[image] === from.indices[image]) return key;
  return { from: key, to: imageKey(seed, indices[image]!), weight: weights[image]! };
}

/**
 * What the graph takes beside the labels. An image that is on no way is mixed with none of its own class.
 *
 * @param members - positions of the images of the batch, [B]
 */
export function batchMix(
  { labels, towards }: Pick<Beginning, 'labels'> & { readonly towards?: Towards | undefined },
  members: readonly number[],
): BatchMix {
  const ends = members.map((i) => ({
    label: (towards?.labels ?? labels)[i]!,
    weight: towards?.weights[i] ?? 0,
  }));
  return {
    labels: tensorOf(
      'i64',
      [ends.length],
      ends.map(({ label }) => label),
    ),
    weights: tensorOf(
      'f32',
      [ends.length],
      ends.map(({ weight }) => weight),
    ),
  };
}
