/** @file Fréchet distances: features of two sides in, recorded numbers of the reference's evaluator out. */
import * as v from 'valibot';
import { type HostTensor, toNumbers } from '../../src/core/host-tensor.ts';
import { type FeatureStatistics, featureStatistics, frechetDistance } from '../../src/metrics/frechet.ts';
import { compareNumbers } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { StatedTolerance } from './tolerance.ts';

const schema = v.object({
  expected: v.looseObject({ fid_eigh_float64: v.number(), sfid_eigh_float64: v.optional(v.number()) }),
  tolerance: v.string(),
});

export const frechet: FixtureKind = {
  name: 'Fréchet distance',
  recognise({ json, tensors }) {
    const parsed = v.safeParse(schema, json);
    const [reference, sample] = [tensors.get('ref'), tensors.get('sample')];
    if (!parsed.success || reference === undefined || sample === undefined) return undefined;
    const { expected, tolerance } = parsed.output;
    const [samples, width] = reference.shape as [number, number];
    const allowed = new StatedTolerance(tolerance).of(...(samples < width ? ['singular'] : []));
    return async () => {
      const distance = frechetDistance(statisticsOf(reference), statisticsOf(sample));
      const comparisons = [compareNumbers('fid', [distance], [expected.fid_eigh_float64], allowed)];
      const [referenceMap, sampleMap] = [tensors.get('ref_spatial'), tensors.get('sample_spatial')];
      if (referenceMap !== undefined && sampleMap !== undefined && expected.sfid_eigh_float64 !== undefined) {
        const spatial = frechetDistance(statisticsOf(referenceMap), statisticsOf(sampleMap));
        comparisons.push(compareNumbers('sfid', [spatial], [expected.sfid_eigh_float64], allowed));
      }
      const left = Object.keys(expected).filter((name) => /^(is|precision|recall)_/.test(name));
      return { comparisons, notCompared: left.map((name) => `${name}: not computed yet`) };
    };
  },
};

function statisticsOf(features: HostTensor): FeatureStatistics {
  return featureStatistics(toNumbers(features), features.shape[1]!);
}
