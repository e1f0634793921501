import { expect, test } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { hostTensor, type TensorMap, toNumbers } from '../../../core/host-tensor.ts';
import { normal, randomKey } from '../../../core/random.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import { input } from '../../../engine/graph/operators.ts';
import type { Tensor } from '../../../engine/graph/tensor.ts';
import { evaluate } from '../../../engine/interp/evaluate.ts';
import { initialise } from '../../../networks/nn/initialise.ts';
import { autoencoderSpec } from '../../../networks/presets.ts';
import { createAutoencoder } from '../../../networks/registry.ts';
import { autoencoding } from './autoencoding.ts';
import { tensorsOf } from './learning.ts';
import { gradientGraph } from './loss-gradients.ts';

const [COUNT, SIZE] = [2, 4];
const SHAPE = [COUNT, 3, SIZE, SIZE];
const network = createAutoencoder(
  autoencoderSpec('autoencoder', {
    ...{ inputSize: SIZE, latentChannels: 2, factor: 2 },
    ...{ levelChannels: [2, 4], normGroups: 2, midAttention: true, quantConv: true },
  }),
);
const objective = { gradientWeight: 0.5, klWeight: 0.1 };
const learning = autoencoding(network, objective);
const weights = initialise(network, network.initRule, randomKey(1));
const batch = {
  x: hostTensor('f32', SHAPE, normal(randomKey(2), COUNT * 3 * SIZE ** 2)),
  y: hostTensor('i64', [COUNT], new BigInt64Array(COUNT)),
};
const feeds = learning.feedsOf(randomKey(3), 1, batch);

function lossOf(parameters: TensorMap, training = true) {
  const { perSample, terms } = learning.buildLoss(COUNT, { training });
  const fed = training ? feeds : learning.measurement(COUNT)(Int32Array.of(0, 1), batch);
  return evaluate(graphOf({ loss: perSample, ...terms }), new Map([...parameters, ...tensorsOf(fed)]));
}

/** What the network makes of the batch, with this noise in its latents. */
function passedThrough(noise: readonly number[]) {
  const x = input('x', SHAPE) as Tensor<'N C H W'>;
  const { mean, logVariance } = network.distribution(x);
  const latents = evaluate(
    graphOf({ mean, logVariance: logVariance! }),
    new Map([...weights, ['x', batch.x]]),
  );
  const [means, logVariances] = ['mean', 'logVariance'].map((name) =>
    Array.from(latents.get(name)!.data, Number),
  );
  const z = means!.map((value, i) => value + Math.exp(logVariances![i]! / 2) * (noise[i] ?? 0));
  const shape = latents.get('mean')!.shape;
  const images = network.decode(input('z', shape) as Tensor<'N Z H W'>);
  const decoded = evaluate(
    graphOf({ images }),
    new Map([...weights, ['z', hostTensor('f64', shape, Float64Array.from(z))]]),
  );
  return {
    means: means!,
    logVariances: logVariances!,
    images: Array.from(decoded.get('images')!.data, Number),
  };
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

test('the loss is the distance of values and of their differences, and the divergence of the latents', () => {
  const noise = toNumbers(feeds.get('noise')!.tensor);
  const { means, logVariances, images } = passedThrough(Array.from(noise));
  const x = toNumbers(batch.x);
  const values = 3 * SIZE ** 2;
  const loss = lossOf(weights);
  for (let n = 0; n < COUNT; n++) {
    const error = Array.from({ length: values }, (_, i) => images[n * values + i]! - x[n * values + i]!);
    const at = (c: number, row: number, column: number) => error[(c * SIZE + row) * SIZE + column]!;
    const [down, right]: number[][] = [[], []];
    for (let c = 0; c < 3; c++) {
      for (let a = 0; a < SIZE; a++) {
        for (let b = 1; b < SIZE; b++) {
          down!.push(Math.abs(at(c, b, a) - at(c, b - 1, a)));
          right!.push(Math.abs(at(c, a, b) - at(c, a, b - 1)));
        }
      }
    }
    const perLatent = means.length / COUNT;
    const nats = Array.from({ length: perLatent }, (_, i) => {
      const [mean, logVariance] = [means[n * perLatent + i]!, logVariances[n * perLatent + i]!];
      return 0.5 * (mean ** 2 + Math.exp(logVariance) - 1 - logVariance);
    });
    const expected = {
      l1: meanOf(error.map(Math.abs)),
      gradient: objective.gradientWeight * 0.5 * (meanOf(down!) + meanOf(right!)),
      kl: (objective.klWeight * nats.reduce((sum, value) => sum + value, 0)) / values,
    };
    for (const [term, value] of Object.entries(expected)) {
      expectClose([Number(loss.get(term)!.data[n])], [value], { relative: 1e-6 });
    }
    const total = expected.l1 + expected.gradient + expected.kl;
    expectClose([Number(loss.get('loss')!.data[n])], [total], { relative: 1e-6 });
  }
});

test('where it is measured, latents are at their mean', () => {
  const { images } = passedThrough([]);
  const x = toNumbers(batch.x);
  const distance = meanOf(images.map((value, i) => Math.abs(value - x[i]!)));
  expectClose([meanOf(Array.from(lossOf(weights, false).get('l1')!.data, Number))], [distance], {
    relative: 1e-6,
  });
});

test('its gradients agree with differences of the loss', () => {
  const gradients = evaluate(gradientGraph(learning, COUNT), new Map([...weights, ...tensorsOf(feeds)]));
  const meanLoss = (parameters: TensorMap) =>
    meanOf(Array.from(lossOf(parameters).get('loss')!.data, Number));
  const step = 1e-5;
  for (const { name, shape } of network.parameters()) {
    const values = Float64Array.from(toNumbers(weights.get(name)!));
    const position = Math.floor(values.length / 2);
    const shifted = (by: number) =>
      meanLoss(
        new Map(weights).set(name, hostTensor('f64', shape, values.with(position, values[position]! + by))),
      );
    const difference = (shifted(step) - shifted(-step)) / (2 * step);
    const gradient = Number(gradients.get(`gradient.${name}`)!.data[position]);
    expect(Math.abs(gradient - difference), name).toBeLessThan(1e-6 + 1e-4 * Math.abs(difference));
  }
});

test('the noise of a step depends on key and step alone', () => {
  const noise = (step: number) => learning.feedsOf(randomKey(3), step, batch).get('noise')!.tensor.data;
  expect(noise(1)).toEqual(feeds.get('noise')!.tensor.data);
  expect(noise(2)).not.toEqual(noise(1));
});
