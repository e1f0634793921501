/** @file What speaks against a score, found out from the pictures themselves. */
import { plural } from '../../charts/format.ts';
import { ConfigError } from '../../core/errors.ts';
import { isSortedByClass, type PictureSource } from './picture-source.ts';
import type { MetricName } from './scores.ts';

/** What was seen of the pictures of a side. */
export interface SeenPictures {
  readonly count: number;
  readonly constant: number;
  readonly digests: readonly string[];
}

/** Shares of samples above which they are taken for the reference itself. */
const SAME_SHARE = 0.5;

/**
 * Reasons to mistrust scores, as sentences.
 *
 * @param width - of the features, 0 without a network
 * @throws ConfigError if the samples are the reference itself
 */
export function doubtsAbout(
  reference: {
    readonly source: Pick<PictureSource, 'name' | 'doubts'>;
    readonly seen: SeenPictures | undefined;
  },
  samples: {
    readonly source: Pick<PictureSource, 'name' | 'doubts' | 'labels'>;
    readonly seen: SeenPictures;
  },
  metrics: readonly MetricName[],
  width: number,
): string[] {
  const doubts = [...reference.source.doubts, ...samples.source.doubts];
  for (const { source, seen } of [reference, samples]) {
    if (seen === undefined) continue;
    const { count, constant, digests } = seen;
    if (metrics.includes('fid') && width > 0 && count <= width) {
      doubts.push(
        `${source.name} has ${plural(count, 'picture')} for ${width} features: the covariance has no full rank, ` +
          'and FID is far too high; MIND and KID need fewer',
      );
    }
    if (constant > 0) doubts.push(`${source.name} holds ${plural(constant, 'picture')} of one colour only`);
    const copies = count - new Set(digests).size;
    if (copies > 0) doubts.push(`${source.name} holds ${plural(copies, 'picture')} more than once`);
  }
  doubts.push(...sharedPictures(reference, samples));
  if (metrics.includes('is') && isSortedByClass(samples.source)) {
    doubts.push(
      `the pictures of ${samples.source.name} are sorted by class: splits of the Inception Score then hold few classes ` +
        'each; the shuffled score is the one to compare',
    );
  }
  const { labels, name } = samples.source;
  if (metrics.includes('fid') && labels !== undefined && !hasEqualShares(labels)) {
    doubts.push(
      `the classes of ${name} have unequal shares: between equal ones and random labels FID differs by about 0.1`,
    );
  }
  return doubts;
}

function sharedPictures(
  {
    source: real,
    seen,
  }: { readonly source: { readonly name: string }; readonly seen: SeenPictures | undefined },
  { source, seen: drawn }: { readonly source: { readonly name: string }; readonly seen: SeenPictures },
): string[] {
  if (seen === undefined) return [];
  const known = new Set(seen.digests);
  const shared = drawn.digests.filter((digest) => known.has(digest)).length;
  if (shared > SAME_SHARE * drawn.count) {
    throw new ConfigError({
      where: source.name,
      problem: `${shared} of its ${plural(drawn.count, 'picture')} are pictures of the reference ${real.name}`,
      fix: 'compare samples with other pictures than themselves; the reference is the first argument',
    });
  }
  return shared === 0 ? [] : [`${source.name} shares ${plural(shared, 'picture')} with the reference`];
}

/** Classes that are listed one by one. */
const MOST_LISTED = 16;

/** How many pictures each class has, for scores depend on their shares; of many classes the spread. */
export function describeClasses(labels: ArrayLike<number> | undefined): string | undefined {
  if (labels === undefined) return undefined;
  const counts = countsOf(labels);
  const classes = counts.length === 1 ? '1 class' : `${counts.length} classes`;
  const sorted = counts.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  if (at(0) === at(1)) return `${classes}, ${plural(at(0), 'picture')} each`;
  if (counts.length <= MOST_LISTED) return `${classes}, ${counts.join(' + ')} pictures`;
  return `${classes}, ${at(0)} to ${at(1)} pictures each, half of them ${at(0.25)} to ${at(0.75)}`;
}

/** Pictures of each class that there is, in the order of the labels. */
function countsOf(labels: ArrayLike<number>): number[] {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) counts.set(labels[i]!, (counts.get(labels[i]!) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => a - b).map(([, count]) => count);
}

/** Equal shares differ by one at most, where they do not come out even. */
function hasEqualShares(labels: ArrayLike<number>): boolean {
  const counts = countsOf(labels);
  return Math.max(...counts) - Math.min(...counts) <= 1;
}
