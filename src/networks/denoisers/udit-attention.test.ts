import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../../core/host-tensor.ts';
import { squareOf } from '../../core/image-size.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { attentionWeights, input } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import { topologicalOrder } from '../../engine/graph/traverse.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { type AttentionLevel, DownsampledAttention } from './udit-attention.ts';

const [SIDE, WIDTH, HEADS] = [4, 8, 2];
const TOKENS = SIDE * SIDE;

const LEVEL: AttentionLevel = {
  width: WIDTH,
  heads: HEADS,
  trained: squareOf(SIDE),
  downFactor: 2,
  tokens: 'qkv',
  downsampler: 'dwconv3',
  downShortcut: false,
  attention: 'cosine',
  position: 'rope2d',
};

const key = randomKey(11);

/** The same numbers for the same names, whatever else a variant has. */
function weightsOf(module: DownsampledAttention): Map<string, HostTensor> {
  return new Map(
    [...module.parameters()].map(({ name, shape }) => [
      name,
      hostTensor('f32', shape, normal(fold(key, name), sizeOf(shape))),
    ]),
  );
}

const image = hostTensor('f32', [2, SIDE, SIDE, WIDTH], normal(fold(key, 'x'), 2 * TOKENS * WIDTH));

function outputOf(change: Partial<AttentionLevel>, replaced: TensorMap = new Map()) {
  const module = new DownsampledAttention({ ...LEVEL, ...change }).bind();
  const y = module.apply(input('x', image.shape), { form: 'merged' }) as Tensor;
  const feeds = new Map([...weightsOf(module), ...replaced, ['x', image] as const]);
  return { y, feeds, values: evaluate(graphOf({ y }), feeds).get('y')!.data as Float64Array };
}

/** A depthwise filter that passes everything on as it is. */
const identity = (channels: number) => {
  const taps = Array.from({ length: channels * 9 }, (_, i) => (i % 9 === 4 ? 1 : 0));
  return new Map<string, HostTensor>([
    ['downsampler.layer.weight', tensorOf('f32', [channels, 1, 3, 3], taps)],
    ['downsampler.layer.bias', tensorOf('f32', [channels], new Array(channels).fill(0))],
  ]);
};

describe('without mixing neighbours first', () => {
  test.each(['qkv', 'kv'] as const)('%s: a filter that changes nothing is as good as none', (tokens) => {
    const { values } = outputOf({ tokens }, identity(tokens === 'kv' ? 2 * WIDTH : WIDTH));
    expectClose(values, outputOf({ tokens, downsampler: 'pixel-shuffle' }).values, { relative: 1e-12 });
  });

  test.each(['qkv', 'kv'] as const)('%s with factor 1 is full attention', (tokens) => {
    const { values } = outputOf({ tokens, downFactor: 1, downsampler: 'pixel-shuffle' });
    expectClose(values, outputOf({ tokens: 'none' }).values, { relative: 1e-12 });
  });
});

test('of full attention, downsampling keys and values keeps every second row and column', () => {
  const full = outputOf({ tokens: 'none' });
  // The queries, keys and values of full attention, and what each token gives to each.
  const node = topologicalOrder([full.y]).find(({ op }) => op === 'attention')!;
  const [q, k, v] = node.inputs as [Tensor, Tensor, Tensor];
  const shares = attentionWeights(q, k, { heads: HEADS, scale: 1 }); // (N, heads, T, S)
  const found = evaluate(graphOf({ shares, v }), full.feeds);
  const [weights, answers] = [found.get('shares')!.data, found.get('v')!.data].map((data) =>
    Array.from(data, Number),
  );
  const kept = Array.from({ length: TOKENS }, (_, token) => token).filter(
    (token) => Math.floor(token / SIDE) % 2 === 0 && token % 2 === 0,
  );
  const headDim = WIDTH / HEADS;
  const expected = Array.from({ length: 2 * TOKENS * WIDTH }, (_, i) => {
    const [n, token, channel] = [Math.floor(i / (TOKENS * WIDTH)), Math.floor(i / WIDTH) % TOKENS, i % WIDTH];
    const row = ((n * HEADS + Math.floor(channel / headDim)) * TOKENS + token) * TOKENS;
    const total = kept.reduce((sum, s) => sum + weights![row + s]!, 0);
    const answer = (s: number) => answers![(n * TOKENS + s) * WIDTH + channel]!;
    return kept.reduce((sum, s) => sum + (weights![row + s]! / total) * answer(s), 0);
  });

  const downsampled = outputOf({ tokens: 'kv', downsampler: 'pixel-shuffle' });
  const attended = topologicalOrder([downsampled.y]).find(({ op }) => op === 'attention')!;
  expect(attended.inputs.map(({ shape }) => shape[1])).toEqual([TOKENS, TOKENS / 4, TOKENS / 4]);
  const actual = evaluate(graphOf({ attended }), downsampled.feeds).get('attended')!.data;
  expectClose(Array.from(actual, Number), expected, { relative: 1e-9 });
});

test('a shortcut adds what is downsampled, in both forms', () => {
  for (const tokens of ['qkv', 'kv'] as const) {
    const module = new DownsampledAttention({ ...LEVEL, tokens, downShortcut: true }).bind();
    const forms = (['merged', 'branches'] as const).map((form) => {
      const y = module.apply(input('x', image.shape), { form }) as Tensor;
      return evaluate(graphOf({ y }), new Map([...weightsOf(module), ['x', image]])).get('y')!.data;
    });
    expectClose(Array.from(forms[0]!, Number), Array.from(forms[1]!, Number), { relative: 1e-9 });
  }
});
