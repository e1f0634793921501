/** @file How likely a model that is a flow holds images to be, in bits per dimension. */

import { ConfigError, ShapeError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, scalar } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { fold, type RandomKey, randomBits, randomKey } from '../../core/random.ts';
import { formatShape, sameShape, sizeOf } from '../../core/shape.ts';
import { samplingInterval } from '../../diffusion/flow/flow.ts';
import {
  dataLikelihood,
  type LikelihoodSolver,
  velocityAndDivergence,
} from '../../diffusion/flow/likelihood.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { REFERENCE_TOLERANCES } from '../../diffusion/solvers/ode-solver.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { PositionScaling } from '../../networks/nn/position-scaling.ts';
import { imageShapeOf } from '../../networks/trace.ts';
import type { SampledModel } from './sample.ts';

// N images · C H W image or latent

export interface LikelihoodOptions {
  readonly backend: Backend;
  /** Of the images. Default: the size that the model was trained at. */
  readonly size?: ImageSize | undefined;
  /** What positions outside the trained grid are. Default none: they go on. */
  readonly positionScaling?: PositionScaling | undefined;
  /** Default: dopri5 with the reference's tolerances. */
  readonly solver?: LikelihoodSolver;
  /** Of the random signs that estimate divergences; the mean over seeds is more exact. Default 0. */
  readonly seed?: number;
  readonly threads?: number;
  readonly cache?: CompileCache | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LIKELIHOOD_OPTIONS: OptionTable<LikelihoodOptions> = {
  backend: 'needed',
  ...({ size: 'optional', positionScaling: 'optional', solver: 'optional', seed: 'optional' } as const),
  ...({ threads: 'optional', cache: 'optional', signal: 'optional' } as const),
};

export interface ImageLikelihoods {
  /** Natural logarithm of each image's density, [N]. */
  readonly logLikelihood: Float32Array;
  /**
   * −log₂ density per dimension, [N]. Of 8-bit pixels scaled to [−1, 1], with uniform noise of one grey level added,
   * log₂ 127.5 = 6.99 more are the bits per dimension of the literature.
   */
  readonly bitsPerDimension: Float32Array;
  /** The noise that each image comes from, `f32[N,C,H,W]`. */
  readonly noise: HostTensor<'f32'>;
  /** The random signs that divergences were estimated with, like `noise`. */
  readonly signs: HostTensor<'f32'>;
  /** Evaluations of the network with their gradients. */
  readonly nfe: number;
}

/**
 * The density of images under a flow, which is that of their noise and of the way there.
 *
 *     const options = { backend: cpuBackend, solver: { method: 'heun', steps: 3 } } as const;
 *     const { bitsPerDimension } = await logLikelihood(saved, images, tensorOf('i64', [1], [0]), options);
 *     console.log(bitsPerDimension[0]);
 *
 * @param images - `f32[N,C,H,W]` in the model's range, all of them in one batch
 * @param labels - the class of each, [N]
 * @throws ConfigError if the model is no flow; ShapeError if the images are not of its size
 */
export async function logLikelihood(
  saved: SampledModel,
  images: HostTensor<'f32'>,
  labels: HostTensor<'i64'>,
  options: LikelihoodOptions,
): Promise<ImageLikelihoods> {
  expectOptions(options, 'logLikelihood', LIKELIHOOD_OPTIONS);
  const { backend, size, positionScaling, seed = 0, threads = 1, cache, signal } = options;
  const { solver = { method: 'dopri5', ...REFERENCE_TOLERANCES } } = options;
  const objective = createObjective(saved.card.objective);
  if (objective.kind !== 'flow') {
    throw new ConfigError({
      where: 'logLikelihood',
      problem: `the model is of a ${objective.kind} objective, for which udit has no ODE`,
      fix: "use its loss's variational bound, or a model trained with objective.kind=flow",
    });
  }
  const count = expectImages(saved, images, labels, size);
  const [x, probe] = [input('x', images.shape), input('probe', images.shape)];
  const y = input('labels', [count], 'i64');
  const graph = graphOf({
    ...velocityAndDivergence(
      objective,
      (noisy, t) => saved.network.apply(noisy, { t, y }, { form: 'merged', positionScaling }),
      x,
      input('time', []),
      probe,
    ),
  });
  const session = await compileInference(graph, saved.weights, backend, { threads, cache });
  const signs = randomSigns(fold(randomKey(seed), 'probe'), images.shape);
  let nfe = 0;
  try {
    const found = await dataLikelihood(
      async ([values], time) => {
        signal?.throwIfAborted();
        nfe++;
        const feeds = new Map<string, HostTensor>([
          ['x', hostTensor('f32', images.shape, values!)],
          ['time', scalar('f32', time)],
          ['probe', signs],
          ['labels', labels],
        ]);
        const results = await session.run(feeds);
        return ['velocity', 'divergence'].map((name) => results.get(name)!.data as Float32Array);
      },
      images.data,
      count,
      samplingInterval(objective.options),
      solver,
    );
    const dimensions = images.data.length / count;
    return {
      logLikelihood: found.logLikelihood,
      bitsPerDimension: found.logLikelihood.map((nats) => -nats / (dimensions * Math.LN2)),
      noise: hostTensor('f32', images.shape, found.noise),
      signs,
      nfe,
    };
  } finally {
    await session.release();
  }
}

function expectImages(
  { network }: SampledModel,
  images: HostTensor<'f32'>,
  labels: HostTensor<'i64'>,
  size: ImageSize | undefined,
): number {
  const [count = 0] = labels.shape;
  const expected = [count, ...imageShapeOf(network.config, size)];
  if (count > 0 && sameShape(images.shape, expected)) return count;
  throw new ShapeError({
    where: 'logLikelihood',
    problem: `the images are ${formatShape(images.shape)}, ${count} labels of this model need ${formatShape(expected)}`,
    fix: 'give images of the model and a label for each',
  });
}

/** Of each element, +1 or −1. */
function randomSigns(key: RandomKey, shape: HostTensor['shape']): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    Float32Array.from(randomBits(key, sizeOf(shape)), (word) => (word >>> 31) * 2 - 1),
  );
}
