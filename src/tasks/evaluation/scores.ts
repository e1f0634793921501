/** @file Scores of samples against a reference, from what was collected of both. */
import { plural } from '../../charts/format.ts';
import { ConfigError } from '../../core/errors.ts';
import { fold, randomKey } from '../../core/random.ts';
import type { Features } from '../../metrics/feature-rows.ts';
import { frechetParts } from '../../metrics/frechet.ts';
import { ClassSums } from '../../metrics/inception-score.ts';
import { kernelDistance } from '../../metrics/kernel-distance.ts';
import { manifoldScores } from '../../metrics/manifold.ts';
import type { FeatureSet, MatrixProduct } from '../../metrics/matrix-product.ts';
import type { FeatureMoments, FeatureStatistics } from '../../metrics/moments.ts';
import { type PyramidDistance, pyramidDistance } from '../../metrics/patches.ts';
import { slicedWasserstein } from '../../metrics/sliced-wasserstein.ts';
import { spreadOf } from '../../metrics/spread.ts';

export const METRIC_NAMES = ['fid', 'sfid', 'is', 'pr', 'dc', 'kid', 'mind', 'swd'] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

/** Metrics that need no feature network. */
export const WITHOUT_NETWORK: readonly MetricName[] = ['swd'];

/** Metrics that mean and covariance are enough for. */
export const FRECHET_METRICS: readonly MetricName[] = ['fid', 'sfid'];

/** Metrics that need the features of every picture. */
export const needsRows = (metric: MetricName): boolean =>
  !WITHOUT_NETWORK.includes(metric) && !FRECHET_METRICS.includes(metric) && metric !== 'is';

/** What the Inception Score is computed from. @param split - pictures per split, 5,000 by default */
export function classSums(count: number, classes: number, split: number | undefined): ClassSums {
  return new ClassSums(count, classes, { ...(split === undefined ? {} : { split }), key: fold(KEY, 'is') });
}

/** One side of a comparison. */
export interface Side {
  readonly name: string;
  readonly count: number;
  readonly features?: Features | undefined;
  /** Of the classes of its pictures. */
  readonly classes?: ClassSums | undefined;
  /** Of `features` and `spatial`; stored statistics stand for pictures that are not there. */
  readonly statistics: ReadonlyMap<string, FeatureStatistics>;
  readonly patches?: readonly FeatureSet[] | undefined;
}

export interface Score {
  readonly metric: MetricName;
  /** As tables name it, with the number of samples where it is not the usual one: `FID-1870`. */
  readonly label: string;
  readonly value: number;
  /** Deviation over subsets, splits or orders, where there are any. */
  readonly deviation?: number | undefined;
  /** How the deviation came about, or what the value hides. */
  readonly remark?: string | undefined;
}

export interface ScoreOptions {
  readonly metrics: readonly MetricName[];
  readonly product: MatrixProduct;
  /** What distances of its features are called: `FID` of Inception's, `FD-DINOv2`. */
  readonly frechetName?: string;
  /** Neighbours of precision and recall. Default 3. */
  readonly k?: number;
  /** Pictures per split of the Inception Score, as its sums have. Default 5,000. */
  readonly split?: number;
}

/** As published scores are: fewer are told in the name of the score. */
export const USUAL_COUNT = 50_000;
/** Density and coverage are published with five neighbours. */
const DENSITY_NEIGHBOURS = 5;
const KEY = fold(randomKey(0), 'scores');
/** Entries of a product at once: 80 MB. */
const PRODUCT_ENTRIES = 20_000_000;

/** Statistics of all that was collected; of a single picture there are none. */
export function statisticsOf(moments: ReadonlyMap<string, FeatureMoments>): Map<string, FeatureStatistics> {
  return new Map(
    [...moments].flatMap(([name, each]) => (each.count < 2 ? [] : [[name, each.statistics()] as const])),
  );
}

/**
 * The metrics that both sides have what they need for. Of one that lacks something the reason is told.
 *
 * @throws ShapeError if the sides are of different features
 */
export async function scoresOf(
  reference: Side,
  samples: Side,
  options: ScoreOptions,
): Promise<{
  readonly scores: readonly Score[];
  readonly omitted: readonly (readonly [MetricName, string])[];
}> {
  const scores: Score[] = [];
  const omitted: (readonly [MetricName, string])[] = [];
  for (const metric of options.metrics) {
    const reason = lacking(metric, reference, samples, options);
    if (reason !== undefined) omitted.push([metric, reason]);
    else scores.push(...(await SCORE[metric](reference, samples, options)));
  }
  return { scores, omitted };
}

/** Why a metric cannot be computed; undefined where it can. */
function lacking(
  metric: MetricName,
  reference: Side,
  samples: Side,
  { k = 3 }: ScoreOptions,
): string | undefined {
  const lacks = (side: Side, part: 'features' | 'patches', what: string) =>
    side[part] === undefined ? `${side.name} has no ${what}` : undefined;
  switch (metric) {
    case 'fid':
    case 'sfid': {
      const kind = metric === 'fid' ? 'features' : 'spatial';
      const side = [reference, samples].find(({ statistics }) => !statistics.has(kind));
      return side && `there are no statistics of ${kind} of ${side.name}`;
    }
    case 'is':
      return samples.classes === undefined ? 'the network has no classes' : undefined;
    case 'swd':
      return lacks(reference, 'patches', 'patches') ?? lacks(samples, 'patches', 'patches');
    default:
      return (
        lacks(reference, 'features', 'pictures') ??
        lacks(samples, 'features', 'pictures') ??
        tooFew([reference, samples], FEWEST[metric]?.(k) ?? 1)
      );
  }
}

/** Pictures of each side that a metric of pairs needs, with so many neighbours. */
const FEWEST: Partial<Readonly<Record<MetricName, (k: number) => number>>> = {
  pr: (k) => k + 1,
  dc: () => DENSITY_NEIGHBOURS + 1,
  kid: () => 2,
};

function tooFew(sides: readonly Side[], fewest: number): string | undefined {
  const side = sides.find(({ count }) => count < fewest);
  return side && `${side.name} has ${plural(side.count, 'picture')}, and ${fewest} are needed`;
}

type Scoring = (reference: Side, samples: Side, options: ScoreOptions) => Promise<Score[]> | Score[];

const SCORE: Readonly<Record<MetricName, Scoring>> = {
  fid: (reference, samples, { frechetName = 'FID' }) => [
    frechet('fid', frechetName, 'features', reference, samples),
  ],
  sfid: (reference, samples) => [frechet('sfid', 'sFID', 'spatial', reference, samples)],
  is: (_, samples, { split = 5000 }) => {
    const scores = spreadOf(samples.classes!.scores());
    const shuffled = samples.classes!.shuffled();
    return [
      {
        ...{ metric: 'is', label: withCount('IS', samples), value: scores.mean, deviation: scores.deviation },
        remark: `splits of ${split} in the order of the pictures`,
      },
      {
        ...{ metric: 'is', label: `${withCount('IS', samples)}, shuffled`, value: shuffled.mean },
        ...{ deviation: shuffled.deviation, remark: 'over 10 random orders' },
      },
    ];
  },
  pr: async (reference, samples, { k = 3, product }) => {
    const scores = await manifold(reference, samples, k, product);
    return [
      {
        metric: 'pr',
        label: 'precision',
        value: scores.precision,
        remark: `k = ${k}: samples within the reference`,
      },
      {
        metric: 'pr',
        label: 'recall',
        value: scores.recall,
        remark: `k = ${k}: reference within the samples`,
      },
    ];
  },
  dc: async (reference, samples, { product }) => {
    const scores = await manifold(reference, samples, DENSITY_NEIGHBOURS, product);
    const remark = `k = ${DENSITY_NEIGHBOURS}`;
    return [
      { metric: 'dc', label: 'density', value: scores.density, remark },
      { metric: 'dc', label: 'coverage', value: scores.coverage, remark },
    ];
  },
  kid: async (reference, samples, { product }) => {
    const { mean, deviation } = await kernelDistance(reference.features!, samples.features!, {
      ...{ key: fold(KEY, 'kid'), product },
    });
    const remark = 'in thousandths; over 100 subsets of at most 1,000';
    const scaled = deviation === undefined ? undefined : 1000 * deviation;
    return [
      { metric: 'kid', label: withCount('KID', samples), value: 1000 * mean, deviation: scaled, remark },
    ];
  },
  mind: async (reference, samples) => {
    const value = await slicedWasserstein(reference.features!, samples.features!, { key: fold(KEY, 'mind') });
    const remark = 'mean squared distance along 1,000 directions';
    return [{ metric: 'mind', label: withCount('MIND', samples), value, remark }];
  },
  swd: async (reference, samples) => {
    const { levels, mean } = await patchDistance(reference.patches!, samples.patches!);
    const remark = `in thousandths; levels, finest first: ${levels.map((level) => level.toFixed(2)).join(', ')}`;
    return [{ metric: 'swd', label: withCount('SWD', samples), value: mean, remark }];
  },
};

/** SWD of collected patches. */
export function patchDistance(
  reference: readonly FeatureSet[],
  samples: readonly FeatureSet[],
): Promise<PyramidDistance> {
  return pyramidDistance(reference, samples, { key: fold(KEY, 'swd') });
}

/** Rows of a product of `columns` columns, so that its memory is bounded. */
export const blockFor = (columns: number): number => Math.max(1, Math.floor(PRODUCT_ENTRIES / columns));

/** A score of another number of samples is another score. */
function withCount(label: string, { count }: Side): string {
  return count === USUAL_COUNT ? label : `${label}-${count}`;
}

function frechet(metric: 'fid' | 'sfid', name: string, kind: string, reference: Side, samples: Side): Score {
  const [first, second] = [reference, samples].map(({ statistics }) => statistics.get(kind)!);
  if (first!.mean.length !== second!.mean.length) {
    throw new ConfigError({
      where: reference.name,
      problem: `its statistics are of ${first!.mean.length} features, those of ${samples.name} of ${second!.mean.length}`,
      fix: 'use statistics that were made with this network',
    });
  }
  const { distance, ofMeans, ofCovariances } = frechetParts(first!, second!);
  const sum = ofMeans + ofCovariances;
  const remark = sum < 0 ? `${sum.toExponential(1)} before rounding up to 0` : undefined;
  return { metric, label: withCount(name, samples), value: distance, remark };
}

function manifold(reference: Side, samples: Side, k: number, product: MatrixProduct) {
  const block = blockFor(Math.max(reference.count, samples.count));
  return manifoldScores(reference.features!, samples.features!, { k, product, block });
}
