import { expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { randomWeights } from '../../../test/support/tiny-checkpoint.ts';
import { type HostTensor, hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { logLikelihood } from './log-likelihood.ts';

const spec = presetSpec('U-DiT-S', {
  ...{ width: 8, heads: 2, depth: [1, 1, 1, 1, 1], numClasses: 3 },
  ...{ inputSize: 8, inChannels: 3, learnSigma: false },
});
const model = createModel(spec);
const saved = {
  network: model,
  weights: randomWeights(spec, 1),
  card: { objective: { kind: 'flow' } },
} as const;
const SHAPE = [2, 3, 8, 8];
const images = hostTensor(
  'f32',
  SHAPE,
  normal(randomKey(3), sizeOf(SHAPE)).map((x) => 0.5 * x),
);
const labels = tensorOf('i64', [2], [0, 2]);

/** log N(x; 0, 1) of each image. */
function priorOf({ data }: HostTensor<'f32'>): number[] {
  const size = data.length / 2;
  return [0, 1].map((n) =>
    data
      .subarray(n * size, (n + 1) * size)
      .reduce((total, x) => total - x ** 2 / 2 - Math.log(2 * Math.PI) / 2, 0),
  );
}

test('its divergence is that of the compiled network along the same signs', async () => {
  const solver = { method: 'euler', steps: 1 } as const;
  const found = await logLikelihood(saved, images, labels, { backend: cpuBackend, solver, seed: 5 });
  expect(found.nfe).toBe(1);
  const gained = priorOf(found.noise).map((prior, n) => found.logLikelihood[n]! - prior);

  const [x, t] = [input('x', SHAPE), input('t', [2])];
  const graph = graphOf({ velocity: model.apply(x, { t, y: input('y', [2], 'i64') }) });
  const session = await compileInference(graph, saved.weights, cpuBackend);
  const velocityAt = async (values: Float32Array): Promise<Float32Array> => {
    const feeds = new Map<string, HostTensor>([
      ['x', hostTensor('f32', SHAPE, values)],
      ['t', tensorOf('f32', [2], [1, 1])],
      ['y', labels],
    ]);
    return (await session.run(feeds)).get('velocity')!.data as Float32Array;
  };
  const velocity = await velocityAt(images.data);
  expectClose(
    found.noise.data,
    images.data.map((value, i) => value - velocity[i]!),
    { relative: 1e-5 },
  );
  const signs = found.signs.data;
  const h = 0.01;
  const ahead = await velocityAt(images.data.map((value, i) => value + h * signs[i]!));
  const behind = await velocityAt(images.data.map((value, i) => value - h * signs[i]!));
  await session.release();
  const size = images.data.length / 2;
  const expected = [0, 1].map((n) => {
    let divergence = 0;
    for (let i = n * size; i < (n + 1) * size; i++) {
      divergence += (signs[i]! * (ahead[i]! - behind[i]!)) / (2 * h);
    }
    return -divergence;
  });
  expectClose(gained, expected, { relative: 0.02 });
});

test('steps chosen on the way give about the same as many steps', async () => {
  const many = { method: 'heun', steps: 10 } as const;
  const [chosen, given] = await Promise.all([
    logLikelihood(saved, images, labels, { backend: cpuBackend }),
    logLikelihood(saved, images, labels, { backend: cpuBackend, solver: many }),
  ]);
  expectClose(chosen.bitsPerDimension, given.bitsPerDimension, { relative: 0.01 });
  expectClose(
    chosen.bitsPerDimension,
    chosen.logLikelihood.map((nats) => -nats / (192 * Math.log(2))),
    { relative: 1e-6 },
  );
});

test('what it cannot do is said', async () => {
  const options = { backend: cpuBackend };
  const gaussian = { ...saved, card: { objective: { kind: 'gaussian' } } } as const;
  await expect(logLikelihood(gaussian, images, labels, options)).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: logLikelihood: the model is of a gaussian objective, for which udit has no ODE
      fix: use its loss's variational bound, or a model trained with objective.kind=flow]
  `);
  await expect(
    logLikelihood(saved, images, tensorOf('i64', [3], [0, 1, 2]), options),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: logLikelihood: the images are [2,3,8,8], 3 labels of this model need [3,3,8,8]
      fix: give images of the model and a label for each]
  `);
});
