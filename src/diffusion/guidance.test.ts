import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { ENGINES } from '../../test/support/diffusion-fixtures.ts';
import { type HostTensor, scalar, tensorOf } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { add, cast, concat, input, mul, reshape } from '../engine/graph/operators.ts';
import type { DenoiseWithLabels } from './denoise.ts';
import { type GuidanceOptions, guided, guidedPairs } from './guidance.ts';

// N = 2 images of 4 channels, a network that also learns variances

const NULL_LABEL = 10;
const LABELS = [3, 7];
const TIMES = [5, 9];
const IMAGE = [2, 4, 1, 2] as const;

/** Prediction x · label + time, variance x − label · time. */
const network: DenoiseWithLabels = (x, time, labels) => {
  const count = x.shape[0]!;
  const perImage = (values: typeof time) => reshape(values, [count, 1, 1, 1]);
  const [label, t] = [perImage(cast(labels, 'f32')), perImage(time)];
  return concat([add(mul(x, label), t), add(x, mul(mul(label, t), -1))], 1);
};

const predictionOf = (x: number, label: number, time: number): number => x * label + time;
const varianceOf = (x: number, label: number, time: number): number => x - label * time;

const images = normal(randomKey(1), 16);
const feeds = (scale: number, times: readonly number[]): Map<string, HostTensor> =>
  new Map<string, HostTensor>([
    ['x', tensorOf('f32', IMAGE, images)],
    ['time', tensorOf('f32', [times.length], times)],
    ['labels', tensorOf('i64', [2], LABELS)],
    ['scale', scalar('f32', scale)],
  ]);

const optionsFor = (channels: GuidanceOptions['channels']): GuidanceOptions => ({
  labels: input('labels', [2], 'i64'),
  scale: input('scale', []),
  channels,
  nullLabel: NULL_LABEL,
});

/** The guided output of image `n`, channel by channel; `label` rules where nothing is guided. */
function expectedOutput(n: number, label: number, scale: number, guidedChannels: number): number[] {
  const output: number[] = [];
  for (let channel = 0; channel < 8; channel++) {
    for (let pixel = 0; pixel < 2; pixel++) {
      const x = images[(n * 4 + (channel % 4)) * 2 + pixel]!;
      const time = TIMES[n]!;
      const unconditional = predictionOf(x, NULL_LABEL, time);
      if (channel >= 4) output.push(varianceOf(x, label, time));
      else if (channel >= guidedChannels) output.push(predictionOf(x, label, time));
      else output.push(unconditional + scale * (predictionOf(x, LABELS[n]!, time) - unconditional));
    }
  }
  return output;
}

describe.each(ENGINES)('guidance on $name', ({ run }) => {
  test.each([
    { channels: 3, guidedChannels: 3, scale: 4 },
    { channels: 'all', guidedChannels: 4, scale: 1.5 },
  ] as const)('of $channels channels', async ({ channels, guidedChannels, scale }) => {
    const output = guided(network, optionsFor(channels))(input('x', IMAGE), input('time', [2]));
    expect(output.shape).toEqual([2, 8, 1, 2]);
    const values = await run({ output }, feeds(scale, TIMES));
    const expected = LABELS.flatMap((label, n) => expectedOutput(n, label, scale, guidedChannels));
    expectClose(values.get('output')!, expected, { relative: 1e-6 });
  });

  test('of pairs gives both halves the guided channels, each its own rest', async () => {
    const x = input('x', IMAGE);
    // The second half must not matter.
    const pairs = concat([x, mul(x, 100)], 0);
    const output = guidedPairs(network, optionsFor(3))(pairs, input('time', [4]));
    const values = await run({ output }, feeds(2, [...TIMES, ...TIMES]));
    const conditional = LABELS.flatMap((label, n) => expectedOutput(n, label, 2, 3));
    const unconditional = LABELS.flatMap((_, n) => expectedOutput(n, NULL_LABEL, 2, 3));
    expectClose(values.get('output')!, [...conditional, ...unconditional], { relative: 1e-6 });
  });
});

test('a scale of 1 is the network with its labels', async () => {
  const [{ run }] = ENGINES as [(typeof ENGINES)[0]];
  const [x, time, options] = [input('x', IMAGE), input('time', [2]), optionsFor('all')];
  const outputs = { guided: guided(network, options)(x, time), plain: network(x, time, options.labels) };
  const values = await run(outputs, feeds(1, TIMES));
  expectClose(values.get('guided')!, values.get('plain')!, { relative: 1e-12 });
});

test('three channels of fewer cannot be guided', () => {
  const x = input('x', [2, 1, 4, 4]);
  expect(() => guided(network, optionsFor(3))(x, input('time', [2]))).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: guided: 3 channels are to be guided, the images have 1
      fix: guide 'all' channels]
  `);
});
