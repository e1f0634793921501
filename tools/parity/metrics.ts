/** @file Metrics of the reference's evaluator: features and logits of two sides in, its recorded numbers out. */
import * as v from 'valibot';
import { type HostTensor, toNumbers } from '../../src/core/host-tensor.ts';
import { frechetDistance } from '../../src/metrics/frechet.ts';
import { inceptionScores } from '../../src/metrics/inception-score.ts';
import { manifoldScores } from '../../src/metrics/manifold.ts';
import type { FeatureSet } from '../../src/metrics/matrix-product.ts';
import { type FeatureStatistics, featureStatistics } from '../../src/metrics/moments.ts';
import { spreadOf } from '../../src/metrics/spread.ts';
import { type Comparison, compareNumbers } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { EXACT, StatedTolerance } from './tolerance.ts';

const schema = v.object({
  expected: v.looseObject({
    fid_eigh_float64: v.number(),
    sfid_eigh_float64: v.optional(v.number()),
    precision_fp32: v.number(),
    recall_fp32: v.number(),
  }),
  tolerance: v.string(),
});

export const metrics: FixtureKind = {
  name: 'metrics',
  recognise({ json, tensors }) {
    const parsed = v.safeParse(schema, json);
    const [reference, sample] = [tensors.get('ref'), tensors.get('sample')];
    if (!parsed.success || reference === undefined || sample === undefined) return undefined;
    const { expected, tolerance } = parsed.output;
    const [samples, width] = reference.shape as [number, number];
    const stated = new StatedTolerance(tolerance);
    const allowed = stated.of(...(samples < width ? ['singular'] : []));
    return async () => {
      const distance = frechetDistance(statisticsOf(reference), statisticsOf(sample));
      const comparisons = [compareNumbers('fid', [distance], [expected.fid_eigh_float64], allowed)];
      const [referenceMap, sampleMap] = [tensors.get('ref_spatial'), tensors.get('sample_spatial')];
      if (referenceMap !== undefined && sampleMap !== undefined && expected.sfid_eigh_float64 !== undefined) {
        const spatial = frechetDistance(statisticsOf(referenceMap), statisticsOf(sampleMap));
        comparisons.push(compareNumbers('sfid', [spatial], [expected.sfid_eigh_float64], allowed));
      }
      const logits = tensors.get('logits');
      if (logits !== undefined) comparisons.push(...compareScores(logits, expected, stated));
      const { precision, recall } = await manifoldScores(featuresOf(reference), featuresOf(sample));
      comparisons.push(
        compareNumbers('precision', [precision], [expected.precision_fp32], EXACT),
        compareNumbers('recall', [recall], [expected.recall_fp32], EXACT),
      );
      return {
        comparisons,
        notCompared: [
          'precision_fp16 and recall_fp16: distances are exact here, theirs are rounded to float16',
        ],
      };
    };
  },
};

/** `is_split100_float64` and the like. */
function compareScores(
  logits: HostTensor,
  expected: Readonly<Record<string, unknown>>,
  stated: StatedTolerance,
): Comparison[] {
  return Object.entries(expected).flatMap(([name, score]) => {
    const split = /^is_split(\d+)_float64$/.exec(name)?.[1];
    if (split === undefined) return [];
    const scores = inceptionScores(toNumbers(logits), logits.shape[1]!, { split: Number(split) });
    return [compareNumbers(name, [spreadOf(scores).mean], [Number(score)], stated.of('is'))];
  });
}

const featuresOf = ({ data, shape }: HostTensor): FeatureSet => ({
  values: data as Float32Array,
  width: shape[1]!,
});

function statisticsOf(features: HostTensor): FeatureStatistics {
  return featureStatistics(toNumbers(features), features.shape[1]!);
}
