import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor, type TensorMap, toNumbers } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import { compileTraining } from '../../engine/compile/training.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { add, input, less, mean, mul, neg, sub, where } from '../../engine/graph/operators.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { initialise } from '../nn/initialise.ts';
import { recogniseAutoencoderKL } from '../recognise-autoencoders.ts';
import { traceNetwork } from '../trace.ts';
import { AutoencoderKL, type AutoencoderKLConfig } from './autoencoder-kl.ts';
import { klToStandardNormal, sampleLatents } from './latent-distribution.ts';
import { AUTOENCODER_KL_PRESETS } from './presets.ts';

const key = randomKey(5);

const TINY: AutoencoderKLConfig = {
  inputSize: 8,
  inChannels: 3,
  latentChannels: 2,
  factor: 2,
  levelChannels: [4, 8],
  layersPerLevel: 1,
  normGroups: 2,
  midAttention: true,
  quantConv: true,
};

const drawn = (name: string, shape: Shape) =>
  hostTensor('f32', shape, normal(fold(key, name), sizeOf(shape)));

describe('recognised by its tensors', () => {
  test.each([
    ['SD-VAE', AUTOENCODER_KL_PRESETS['SD-VAE']!],
    ['without what some lack', { ...TINY, midAttention: false, quantConv: false, layersPerLevel: 3 }],
  ])('%s', (_, config) => {
    const shapes = new Map(
      [...new AutoencoderKL(config).parameters()].map(({ name, shape }) => [name, shape]),
    );
    const { data, shown, usual } = recogniseAutoencoderKL((name) => shapes.get(name), [...shapes.keys()])!;
    expect({ ...usual, ...shown, ...data }).toEqual({ ...config, normGroups: 32, inputSize: 256 });
  });
});

test('a factor that its levels do not have is an error', () => {
  expect(() => new AutoencoderKL({ ...TINY, factor: 8 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: AutoencoderKL: 2 levels divide the sides by 2, but the factor is 8
      fix: use levels whose number is 1 + log₂ of the factor, such as 4 for 8]
  `);
});

test('a picture that the factor does not divide is an error', () => {
  const network = new AutoencoderKL(TINY);
  expect(() => network.encode(input('x', [1, 3, 8, 7]))).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: AutoencoderKL: input size 8x7: width 7 is not a multiple of 2, the factor between pictures and latents
      fix: use input size 8]
  `);
});

test('stages hold every parameter once, and their maps shrink and grow again', () => {
  const network = new AutoencoderKL(TINY);
  const stages = network.stages({ height: 16, width: 8 });
  expect(stages.map(({ name, map }) => `${name}: ${map!.height}x${map!.width}x${map!.channels}`)).toEqual([
    'encoder 1: 16x8x4',
    'encoder 2: 8x4x8',
    'decoder 2: 8x4x8',
    'decoder 1: 16x8x4',
  ]);
  for (const { name } of network.parameters()) {
    const owners = stages.filter(({ paths }) => paths.some((path) => name.startsWith(`${path}.`)));
    expect(owners.length, name).toBe(1);
  }
});

test('initial values are those of PyTorch: uniform on ±1/√fanIn with their biases, norms the identity', () => {
  const network = new AutoencoderKL({ ...TINY, levelChannels: [32, 64], normGroups: 8 });
  const values = initialise(network, network.initRule, key);
  const largest = (name: string) => Math.max(...Array.from(toNumbers(values.get(name)!), Math.abs));
  const bound = 1 / Math.sqrt(64 * 9);
  for (const part of ['weight', 'bias']) {
    const name = `decoder.mid_block.resnets.0.conv1.${part}`;
    expect(largest(name)).toBeLessThanOrEqual(bound);
    expect(largest(name)).toBeGreaterThan(0.9 * bound);
  }
  expect(new Set(Array.from(toNumbers(values.get('encoder.conv_norm_out.weight')!)))).toEqual(new Set([1]));
  expect(new Set(Array.from(toNumbers(values.get('encoder.conv_norm_out.bias')!)))).toEqual(new Set([0]));
});

describe('the loss that trains it: |x − decoded| + KL', () => {
  const network = new AutoencoderKL({ ...TINY, levelChannels: [2, 4] });
  const x = input('x', [1, 3, 4, 4]);
  const noise = input('noise', [1, 2, 2, 2]);
  const { mean: latentMean, logVariance } = network.distribution(x);
  const difference = sub(network.decode(sampleLatents({ mean: latentMean, logVariance }, noise)), x);
  const absolute = where(less(difference, 0), neg(difference), difference);
  const loss = add(mean(absolute), mul(mean(klToStandardNormal(latentMean, logVariance)), 1e-2));
  const parameters = [...network.parameters()];
  const feeds: TensorMap = new Map([
    ...initialise(network, network.initRule, key),
    ['x', drawn('x', x.shape)],
    ['noise', drawn('noise', noise.shape)],
  ]);

  test('has the gradients of central differences, in every parameter', async () => {
    const derivatives = gradients(
      loss,
      parameters.map(({ tensor }) => tensor),
    );
    const graph = graphOf(
      Object.fromEntries(parameters.map(({ name }, i) => [`d ${name}`, derivatives[i]!])),
    );
    const session = await compileTraining(graph, cpuBackend);
    const computed = await session.run(feeds);
    await session.release();
    for (const { name, shape } of parameters) {
      // Along one random direction per parameter; all of them together would take a second each.
      const direction = normal(fold(key, `along ${name}`), sizeOf(shape));
      const at = (step: number): number => {
        const values = Array.from(toNumbers(feeds.get(name)!), (value, i) => value + step * direction[i]!);
        const moved = new Map(feeds).set(name, hostTensor('f64', shape, Float64Array.from(values)));
        return evaluate(graphOf({ loss }), moved).get('loss')!.data[0]!;
      };
      const slope = (at(1e-4) - at(-1e-4)) / 2e-4;
      const gradient = toNumbers(computed.get(`d ${name}`)!);
      const projected = Array.from(gradient).reduce((total, value, i) => total + value * direction[i]!, 0);
      expectClose([projected], [slope], { relative: 2e-3, absolute: 2e-5 });
    }
  });
});

test('the deviations are among the outputs of its graph', () => {
  expect(Object.keys(traceNetwork(new AutoencoderKL(TINY)).outputs)).toEqual([
    'latents',
    'images',
    'deviations',
  ]);
});
