/** @file Networks trained at sizes that are no squares, and traced at sizes that they were not trained at. */
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { drawFeeds } from '../../test/support/graph-values.ts';
import { randomWeights } from '../../test/support/tiny-checkpoint.ts';
import { type HostTensor, tensorOf } from '../core/host-tensor.ts';
import { formatImageSize, type ImageSize, parseImageSize, squareOf } from '../core/image-size.ts';
import { compileInference } from '../engine/compile/inference.ts';
import { compileTraining } from '../engine/compile/training.ts';
import { graphOf, leavesOf } from '../engine/graph/graph.ts';
import { mean, square } from '../engine/graph/operators.ts';
import { gradients } from '../engine/graph/vjp.ts';
import { evaluate } from '../engine/interp/evaluate.ts';
import { cpuBackend } from '../engine/runtime/cpu-node.ts';
import type { DiT } from './denoisers/dit.ts';
import { trainedSizeOf } from './nn/network.ts';
import { sinCosPositions } from './nn/position.ts';
import { POSITION_SCALINGS } from './nn/position-scaling.ts';
import { presetSpec } from './presets.ts';
import { createModel } from './registry.ts';
import { imageShapeOf, type TraceAt, traceNetwork } from './trace.ts';

const TINY = { inputSize: 8, inChannels: 3, numClasses: 3, width: 16, heads: 2, learnSigma: false };
const U = { ...TINY, width: 8, depth: [1, 1, 1, 1, 1], downFactor: [2, 2, 1, 2, 2] };

const SPECS = {
  'U-DiT': presetSpec('U-DiT-XS', U),
  'U-DiT of fewer keys': presetSpec('U-DiT-XS', { ...U, tokens: 'kv' }),
  DiT: presetSpec('DiT-S/2', { ...TINY, depth: 1 }),
  'DiT of sub-grids': presetSpec('DiT-S/2', { ...TINY, depth: 1, tokens: 'qkv' }),
  'DiT-LLaMA': presetSpec('DiT-LLaMA-B/4', { ...TINY, depth: 1, patchSize: 2 }),
  'DiT-LLaMA of fewer keys': presetSpec('SiT-LLaMA-S/2', { ...TINY, depth: 1, tokens: 'kv' }),
  'U-DiT of 8x12': presetSpec('U-DiT-XS', { ...U, inputSize: '8x12' }),
  'DiT of 8x12': presetSpec('DiT-S/2', { ...TINY, depth: 1, inputSize: '8x12' }),
  'DiT-LLaMA of 8x12': presetSpec('SiT-LLaMA-S/2', { ...TINY, depth: 1, inputSize: '8x12' }),
};

const tall = parseImageSize('12x8');
const wide = parseImageSize('8x16');

function feedsOf(network: Parameters<typeof traceNetwork>[0], size: ImageSize): Map<string, HostTensor> {
  const images = leavesOf(graphOf(traceNetwork(network, { size }).outputs), 'input').filter(
    ({ params: { name } }) => name === 'x',
  );
  const [x] = drawFeeds(graphOf({ x: images[0]! }));
  return new Map<string, HostTensor>([
    x!,
    ['t', tensorOf('f32', [1], [300])],
    ['y', tensorOf('i64', [1], [1])],
  ]);
}

describe.each(Object.entries(SPECS))('%s', (_, spec) => {
  const network = createModel(spec);
  const weights = randomWeights(spec, 3);
  const trace = (at: TraceAt) => traceNetwork(network, at).outputs.prediction;

  test.each([tall, wide].map((size) => [formatImageSize(size), size] as const))(
    'predicts at %s what the float64 evaluator does, and so are its gradients',
    async (_, size) => {
      const prediction = trace({ size });
      expect(prediction.shape).toEqual([1, ...imageShapeOf(network.config, size)]);
      const loss = mean(square(prediction));
      const trained = [...network.parameters()].filter(({ frozen }) => !frozen);
      const derivatives = gradients(
        loss,
        trained.map(({ tensor }) => tensor),
      );
      const graph = graphOf({
        loss,
        ...Object.fromEntries(trained.map(({ name }, i) => [`d ${name}`, derivatives[i]!])),
      });
      const feeds = feedsOf(network, size);
      const everything = new Map([...weights, ...feeds]);

      const inference = await compileInference(graphOf({ prediction }), weights, cpuBackend);
      const training = await compileTraining(graph, cpuBackend);
      try {
        const exact = evaluate(graphOf({ prediction }), everything).get('prediction')!.data;
        const predicted = (await inference.run(feeds)).get('prediction')!.data;
        expectClose(Array.from(predicted, Number), Array.from(exact, Number), { relative: 2e-5 });
        const found = await training.run(everything);
        for (const [name, { data }] of evaluate(graph, everything)) {
          const [actual, expected] = [found.get(name)!.data, data].map((values) =>
            Array.from(values, Number),
          );
          expectClose(actual!, expected!, { relative: 1e-4, absolute: 1e-6 });
        }
      } finally {
        await inference.release();
        await training.release();
      }
    },
  );

  test('is the same at the size it was trained at, whatever the rule of positions', () => {
    const size = trainedSizeOf(network.config);
    const feeds = new Map([...weights, ...feedsOf(network, size)]);
    const values = [{}, { size }, ...POSITION_SCALINGS.map((rule) => ({ positionScaling: rule }))].map(
      (at) => evaluate(graphOf({ out: trace(at) }), feeds).get('out')!.data,
    );
    for (const other of values.slice(1)) expect(other).toEqual(values[0]);
  });

  test('depends on the rule of positions beyond that size', () => {
    const feeds = new Map([...weights, ...feedsOf(network, tall)]);
    const [none, ...scaled] = POSITION_SCALINGS.map(
      (rule) =>
        evaluate(graphOf({ out: trace({ size: tall, positionScaling: rule }) }), feeds).get('out')!.data,
    );
    for (const other of scaled) expect(other).not.toEqual(none);
  });
});

describe('the positions in a checkpoint of DiT', () => {
  const network = createModel(SPECS.DiT) as DiT;
  const leaves = (at: TraceAt) =>
    leavesOf(graphOf(traceNetwork(network, at).outputs), 'parameter').map(({ params: { name } }) => name);

  test('are read at the trained size, and computed at others', () => {
    expect(leaves({})).toContain('pos_embed');
    expect(leaves({ size: tall })).not.toContain('pos_embed');
    expect(leaves({ size: squareOf(16) })).not.toContain('pos_embed');
    const oblong = traceNetwork(createModel(SPECS['DiT of 8x12']), { size: parseImageSize('12x8') });
    expect(leavesOf(graphOf(oblong.outputs), 'parameter').map(({ shape }) => shape)).not.toContainEqual([
      1, 24, 16,
    ]);
  });

  test('are those that would be computed: a grid has the positions of each smaller one', () => {
    const [small, large] = [squareOf(4), { height: 8, width: 6 }].map((grid) => sinCosPositions(grid, 16));
    for (const [row, column] of [
      [0, 0],
      [3, 1],
      [2, 3],
    ] as const) {
      const at = (values: Float32Array, width: number) =>
        values.subarray((row * width + column) * 16, (row * width + column + 1) * 16);
      expect(at(large!, 6)).toEqual(at(small!, 4));
    }
  });
});

describe('sizes that cannot be', () => {
  const traceAt = (spec: (typeof SPECS)['DiT'], size: string) => () =>
    traceNetwork(createModel(spec), { size: parseImageSize(size) });

  test('name the side and the next size that works', () => {
    expect(traceAt(SPECS['U-DiT'], '32x18')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: input size 32x18: width 18 is not a multiple of 4, for maps are halved twice
        fix: use input size 32x20]
    `);
    expect(traceAt(presetSpec('U-DiT-S', { depth: U.depth }), '20x16')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: input size 20x16: height 20 is not a multiple of 8, 4 times the down factor of latent
        fix: use input size 24x16 or down factor 1 at this level]
    `);
    expect(traceAt(SPECS.DiT, '9x16')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: input size 9x16: height 9 is not a multiple of 2, the patch size
        fix: use input size 10x16 or another patch size]
    `);
    expect(traceAt(SPECS['DiT of sub-grids'], '16x10')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: input size 16x10: width 10 is not a multiple of 4, patch size 2 times down factor 2
        fix: use input size 16x12 or another down factor]
    `);
    expect(traceAt(SPECS['DiT-LLaMA'], '7')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT-LLaMA: input size 7 is not a multiple of 2, the patch size
        fix: use input size 8 or another patch size]
    `);
  });

  test('work at the size that is named', () => {
    expect(traceAt(SPECS['U-DiT'], '32x24')().outputs.prediction.shape).toEqual([1, 3, 32, 24]);
    expect(traceAt(SPECS['DiT of sub-grids'], '16x12')().outputs.prediction.shape).toEqual([1, 3, 16, 12]);
  });
});
