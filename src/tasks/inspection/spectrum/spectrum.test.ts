import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { randomWeights } from '../../../../test/support/tiny-checkpoint.ts';
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import { constant, transpose } from '../../../engine/graph/operators.ts';
import { evaluate } from '../../../engine/interp/evaluate.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { initialise } from '../../../networks/nn/initialise.ts';
import { presetSpec } from '../../../networks/presets.ts';
import { createModel, type ModelSpec } from '../../../networks/registry.ts';
import { traceNetwork } from '../../../networks/trace.ts';
import { octaveEnergies } from './octaves.ts';
import { finestShare, measureSpectrum, octaveShares } from './spectrum.ts';
import { stageFeatures } from './stage-features.ts';

const SMALL = { inputSize: 8, numClasses: 3, inChannels: 3, learnSigma: false };
const U_SHAPE = { width: 8, heads: 2, depth: [1, 1, 1, 1, 1], downFactor: [2, 2, 1, 2, 2] };
const uShaped = presetSpec('U-DiT-S', { ...SMALL, ...U_SHAPE });
const isotropic = { ...SMALL, width: 8, heads: 2, depth: 2 };

function featuresOf(spec: ModelSpec) {
  const model = createModel(spec);
  return { model, features: stageFeatures(model, traceNetwork(model, { batch: 2 }).outputs.prediction) };
}

describe('the features of the stages', () => {
  test.each([
    [
      'a U',
      uShaped,
      [
        'stem 8×8×8',
        'encoder 1 8×8×8',
        'encoder 2 4×4×16',
        'bottleneck 2×2×32',
        'decoder 2 4×4×16',
        'decoder 1 8×8×16',
      ],
    ],
    ['DiT', presetSpec('DiT-S/2', isotropic), ['patches 4×4×8', 'blocks 4×4×8']],
    ['LLaMA', presetSpec('SiT-LLaMA-S/2', isotropic), ['patches 4×4×8', 'blocks 4×4×8']],
  ])('of %s', (_, spec, expected) => {
    const found = featuresOf(spec).features.map(
      ({ stage: { name }, features }) => `${name} ${features.shape.slice(1).join('×')}`,
    );
    expect(found).toEqual(expected);
  });

  test('are what the last block hands on: with gates of zero, what the first was given', () => {
    const { model, features } = featuresOf(uShaped);
    const named = Object.fromEntries(features.map(({ stage, features }) => [stage.name, features]));
    const feeds = new Map<string, HostTensor>([
      ['x', hostTensor('f32', [2, 3, 8, 8], normal(randomKey(1), 384))],
      ['t', hostTensor('f32', [2], Float32Array.of(0.2, 0.7))],
      ['y', hostTensor('i64', [2], BigInt64Array.of(0n, 2n))],
    ]);
    const weights = initialise(model, model.initRule, randomKey(2));
    const values = evaluate(graphOf(named), new Map([...weights, ...feeds]));
    expect(values.get('encoder 1')!.data).toEqual(values.get('stem')!.data);
    expect(values.get('encoder 2')!.data).not.toEqual(values.get('stem')!.data);
  });
});

describe('a spectrum', () => {
  const images = hostTensor('f32', [2, 3, 8, 8], normal(randomKey(7), 384));
  const options = { backend: cpuBackend, seed: 5, times: 4 };
  const measured = (objective: { readonly kind: 'flow' | 'gaussian' }) => {
    const spec =
      objective.kind === 'flow' ? uShaped : presetSpec('U-DiT-S', { ...SMALL, ...U_SHAPE, learnSigma: true });
    const saved = { network: createModel(spec), weights: randomWeights(spec, 1), card: { objective } };
    return measureSpectrum(saved, { images, labels: [0, 2] }, options);
  };

  test('of the noisy input is that of the path between noise and pictures', async () => {
    const { times, stages } = await measured({ kind: 'flow' });
    expect(times).toEqual([0.125, 0.375, 0.625, 0.875]);
    const noise = [0, 1].flatMap((n) => [...normal(fold(randomKey(5), 'spectrum', n), 192)]);
    times.forEach((time, i) => {
      const noisy = images.data.map((x, k) => time * x + (1 - time) * noise[k]!);
      const maps = transpose(constant(hostTensor('f32', images.shape, noisy)), [0, 2, 3, 1]);
      const energies = evaluate(graphOf({ energies: octaveEnergies(maps) }), new Map()).get('energies')!;
      expectClose(Float32Array.from(stages[0]!.energies[i]!), energies.data as Float64Array, {
        relative: 1e-5,
      });
    });
  });

  test('begins with the noisiest time, whichever way the objective counts', async () => {
    const { times, stages } = await measured({ kind: 'gaussian' });
    expect(times).toEqual([875, 625, 375, 125]);
    expect(stages.map(({ name }) => name).slice(0, 2)).toEqual(['noisy input', 'stem']);
    expect(stages.every(({ energies }) => energies.flat().every((energy) => energy >= 0))).toBe(true);
  });
});

test('shares leave the mean out', () => {
  expect(octaveShares([9, 1, 3])).toEqual([0.25, 0.75]);
  expect(octaveShares([9, 0, 0])).toEqual([0, 0]);
  const stage = {
    name: 'x',
    side: 4,
    width: 1,
    octaves: [],
    energies: [
      [9, 1, 3],
      [0, 2, 2],
    ],
  };
  expect(finestShare(stage)).toBe(0.625);
});
