/**
 * @file The paper's motivation, measured: how the energy of a trained network's features is spread over spatial
 * frequencies, stage by stage, from the noisiest time to the cleanest. Where tokens are downsampled, attention sees the
 * map at half its side, without the finest octave; this says how much of the features lies there.
 *
 * N pictures · C H W picture or latent · K octaves
 */

import { type HostTensor, hostTensor, tensorOf, toNumbers } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import type { Images } from '../../../diffusion/denoise.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CompileCache } from '../../../engine/compile/cache.ts';
import { compileInference } from '../../../engine/compile/inference.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import { input, transpose } from '../../../engine/graph/operators.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import type { SampledModel } from '../../sampling/sample.ts';
import { type Octave, octaveEnergies, octavesOf } from './octaves.ts';
import { stageFeatures } from './stage-features.ts';

export interface Spectrum {
  /** As the objective counts them, the noisiest first. */
  readonly times: readonly number[];
  /** The network's noisy input, then its stages. */
  readonly stages: readonly StageSpectrum[];
}

export interface StageSpectrum {
  readonly name: string;
  readonly side: number;
  readonly width: number;
  readonly octaves: readonly Octave[];
  /** Mean square of the features in each octave, for each time: [times][K]. */
  readonly energies: readonly (readonly number[])[];
}

/** Pictures whose noisy versions the network is shown. */
export interface Shown {
  /** `f32[N,C,H,W]` */
  readonly images: HostTensor<'f32'>;
  /** The class of each, [N]. */
  readonly labels: readonly number[];
}

export interface SpectrumOptions {
  readonly backend: Backend;
  /** Default 1. */
  readonly threads?: number | undefined;
  readonly cache?: CompileCache | undefined;
  /** Of the noise. */
  readonly seed: number;
  /** How many times, evenly spread. */
  readonly times: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((done: number) => void) | undefined;
}

/** Each picture is shown at every time, always with the same noise. */
export async function measureSpectrum(
  saved: SampledModel,
  shown: Shown,
  { backend, threads = 1, cache, seed, times: timeCount, signal, onStep }: SpectrumOptions,
): Promise<Spectrum> {
  const objective = createObjective(saved.card.objective);
  const { graph, stages } = buildSpectrum(saved.network, objective);
  const session = await compileInference(graph, saved.weights, backend, { threads, cache });
  const times = noisiestFirst(objective, timeCount);
  const sums = stages.map(({ octaves }) => times.map(() => octaves.map(() => 0)));
  const { labels } = shown;
  const size = shown.images.data.length / labels.length;
  const shape = [1, ...shown.images.shape.slice(1)];
  let done = 0;
  try {
    for (const [picture, label] of labels.entries()) {
      const x0 = hostTensor('f32', shape, shown.images.data.subarray(picture * size, (picture + 1) * size));
      const noise = hostTensor('f32', shape, normal(fold(randomKey(seed), 'spectrum', picture), size));
      for (const [i, time] of times.entries()) {
        signal?.throwIfAborted();
        const found = await session.run(
          new Map<string, HostTensor>([
            ['x0', x0],
            ['noise', noise],
            ['t', tensorOf(objective.timeType, [1], [time])],
            ['y', tensorOf('i64', [1], [label])],
          ]),
        );
        stages.forEach(({ name }, stage) => {
          (found.get(name)!.data as Float32Array).forEach((energy, octave) => {
            sums[stage]![i]![octave]! += energy / labels.length;
          });
        });
        onStep?.(++done);
      }
    }
  } finally {
    await session.release();
  }
  return { times, stages: stages.map((stage, i) => ({ ...stage, energies: sums[i]! })) };
}

type AnyObjective = ReturnType<typeof createObjective>;

/** The octaves of the noisy input and of every stage as outputs, for one picture `x0`, `noise`, a time `t` and class `y`. */
function buildSpectrum(model: Denoiser, objective: AnyObjective) {
  const shape = [1, ...imageShapeOf(model.config)];
  const y = input('y', [1], 'i64');
  let network: { readonly noisy: Images; readonly prediction: Images } | undefined;
  // Of the loss only what it shows the network is of use here.
  objective.buildLoss(
    (noisy, t) => {
      const prediction = model.apply(noisy, { t, y });
      network = { noisy, prediction };
      return prediction;
    },
    input('x0', shape),
    input('noise', shape),
    input('t', [1], objective.timeType),
  );
  const { noisy, prediction } = network!;
  const maps = [
    { name: 'noisy input', features: transpose(noisy, [0, 2, 3, 1]) },
    ...stageFeatures(model, prediction).map(({ stage: { name }, features }) => ({ name, features })),
  ];
  const graph = graphOf(
    Object.fromEntries(maps.map(({ name, features }) => [name, octaveEnergies(features)])),
  );
  const stages = maps.map(({ name, features }) => {
    const [, side, , width] = features.shape as [number, number, number, number];
    return { name, side, width, octaves: octavesOf(side) };
  });
  return { graph, stages };
}

/** Flows count from noise to data, Gaussian diffusion from data to noise. */
function noisiestFirst({ kind, evaluationTimes }: AnyObjective, count: number): number[] {
  const times = Array.from(toNumbers(evaluationTimes(count)));
  return kind === 'flow' ? times : times.reverse();
}

/** The share that each octave above the mean has in the energy of all of them, from coarse to fine. */
export function octaveShares(energies: readonly number[]): number[] {
  const [, ...moving] = energies;
  const total = moving.reduce((sum, energy) => sum + energy, 0);
  return moving.map((energy) => (total === 0 ? 0 : energy / total));
}

/** What a map of half the side cannot hold, on average over the times: 0 to 1. */
export function finestShare({ energies }: StageSpectrum): number {
  const shares = energies.map((each) => octaveShares(each).at(-1) ?? 0);
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}
