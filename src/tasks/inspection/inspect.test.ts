import { describe, expect, test } from 'vitest';
import { type MacCounts, totalMacs } from '../../engine/graph/macs.ts';
import { PRESETS, presetSpec } from '../../networks/presets.ts';
import { counterpartOf } from './counterpart.ts';
import { inspectModel } from './inspect.ts';

const addUp = (parts: readonly MacCounts[]): MacCounts => ({
  attention: parts.reduce((sum, { attention }) => sum + attention, 0),
  linear: parts.reduce((sum, { linear }) => sum + linear, 0),
  convolution: parts.reduce((sum, { convolution }) => sum + convolution, 0),
});

/** What stages consist of does not depend on how many blocks they have. */
const SHALLOW = {
  'U-DiT': { depth: [1, 1, 1, 1, 1] },
  DiT: { depth: 1 },
  'DiT-LLaMA': { depth: 1 },
} as const;

describe.each(Object.entries(PRESETS))('the stages of %s, made shallow', (name, { family }) => {
  const { stages, parameters, macs } = inspectModel(presetSpec(name, SHALLOW[family]));

  test('hold every parameter once', () => {
    expect(stages.reduce((sum, stage) => sum + stage.parameters, 0)).toBe(parameters.all);
    expect(stages.every((stage) => stage.parameters > 0)).toBe(true);
  });

  test('do all the work, once', () => {
    expect(addUp(stages.map((stage) => stage.macs))).toEqual(macs.merged);
  });
});

test.each([
  // The paper's Table 8, in millions.
  ['U-DiT-S', 52.05],
  ['U-DiT-B', 204.43],
  ['U-DiT-L', 810.19],
])('%s has the published number of parameters once merged', (name, millions) => {
  expect(inspectModel(PRESETS[name]!).parameters.merged / 1e6).toBeCloseTo(millions, 2);
});

test('branches cost more than their merged convolution', () => {
  const { merged, branches } = inspectModel(PRESETS['U-DiT-S']!).macs;
  expect(totalMacs(branches)).toBeGreaterThan(totalMacs(merged));
  expect(branches.attention).toBe(merged.attention);
});

describe('attention', () => {
  test('of four groups costs a quarter, a sixteenth each', () => {
    for (const { groups, queries, keys, tokens, macs, fullMacs } of inspectModel(PRESETS['U-DiT-B']!)
      .attention) {
      expect([groups, queries * 4, keys * 4]).toEqual([4, tokens, tokens]);
      expect([macs * 4, (macs / groups) * 16]).toEqual([fullMacs, fullMacs]);
    }
  });

  test('of all tokens costs what a model without downsampling costs', () => {
    const sum = (key: 'macs' | 'fullMacs', name: string, change = {}) =>
      inspectModel(presetSpec(name, change)).attention.reduce((total, cost) => total + cost[key], 0);
    expect(sum('fullMacs', 'U-DiT-S')).toBe(sum('macs', 'U-DiT-S', { downFactor: 1 }));
    expect(sum('fullMacs', 'DiT-S/2')).toBe(sum('macs', 'DiT-S/2'));
  });
});

describe('memory of activations', () => {
  const small = presetSpec('U-DiT-XS', { inputSize: 16 });
  const [one, four] = [1, 4].map((batch) => inspectModel(small, { batch }).memory);

  test('grows with the batch', () => {
    // What does not grow are gradients on the way to merged kernels.
    expect(four!.trainingKept / one!.trainingKept).toBeCloseTo(4, 1);
    expect(four!.inferencePeak / one!.inferencePeak).toBeCloseTo(4, 1);
  });

  test('of drawing is a small part of that of training, most of which is kept from the forward pass', () => {
    expect(one!.inferencePeak).toBeLessThan(one!.trainingPeak / 5);
    expect(one!.trainingKept).toBeLessThanOrEqual(one!.trainingPeak);
    expect(one!.trainingKept).toBeGreaterThan(one!.trainingPeak / 2);
  });

  test('of drawing holds at least the widest pair of neighbours', () => {
    // The skip of the outer level, 16×16 of 32 channels, lies there while the other levels compute.
    expect(one!.inferencePeak).toBeGreaterThan(2 * 16 * 16 * 32 * 4);
  });
});

describe('the model it is compared with', () => {
  const counterpart = (name: string, change = {}) => {
    const spec = presetSpec(name, change);
    return counterpartOf(spec, inspectModel(spec).macs.merged)?.name;
  };

  test.each([
    // As the paper pairs them in its Table 2.
    ['U-DiT-S', 'DiT-S/2'],
    ['U-DiT-B', 'DiT-B/2'],
    ['U-DiT-L', 'DiT-L/2'],
    ['DiT-S/2', 'U-DiT-S'],
  ])('of %s is %s', (name, expected) => {
    expect(counterpart(name)).toBe(expected);
  });

  test('takes the same input, or is none', () => {
    expect(counterpart('U-DiT-XS', { inputSize: 36, downFactor: 1 })).toMatch(/^DiT-.*\/[24]$/);
    expect(counterpart('DiT-S/2', { inputSize: 18 })).toBeUndefined();
  });
});
