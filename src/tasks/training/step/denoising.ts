/** @file How denoisers learn: images with noise of a random time, whose class is hidden now and then. */
import { hostTensor, tensorOf, toNumbers } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey, uniform } from '../../../core/random.ts';
import type { FlowObjective } from '../../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../../diffusion/gaussian/objective.ts';
import type { MeasuredObjective } from '../../../diffusion/objective.ts';
import { input } from '../../../engine/graph/operators.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import { type Learning, type Measuring, perSampleFeeds } from './learning.ts';

/** The same for every run, so that losses of different seeds compare. */
const MEASURING_KEY = fold(randomKey(0), 'held-out loss');

type Tensor4 = Parameters<Denoiser['forward']>[0];
type Tensor1 = Parameters<Denoiser['forward']>[1]['t'];

/** The loss is a graph over inputs `x0`, `noise`, `t`, `y` and, in training, `dropped` bool[label embedders, N]. */
export function measuredDenoising(model: Denoiser, objective: MeasuredObjective): Measuring<Denoiser> {
  return {
    network: model,
    buildLoss(batchSize, { training }) {
      const { classDropoutProb } = model.config;
      const shape = [batchSize, ...imageShapeOf(model.config)];
      const y = input('y', [batchSize], 'i64');
      const isDropping = training && classDropoutProb > 0;
      const dropped = isDropping ? input('dropped', [model.labelEmbedders, batchSize], 'bool') : undefined;
      return objective.buildLoss(
        (x, t) =>
          model.apply(x as Tensor4, { t: t as Tensor1, y, ...(dropped === undefined ? {} : { dropped }) }),
        input('x0', shape),
        input('noise', shape),
        input('t', [batchSize], objective.timeType),
      );
    },
    measurement(turns) {
      // Consecutive pictures are of one class; a stride through the times lets every class meet the whole range.
      const times = toNumbers(objective.evaluationTimes(turns));
      const stride = coprimeNear(turns * 0.618, turns);
      return (turn, batch) => {
        const drawn = Array.from(turn, (index) => times[(index * stride) % turns]!);
        return perSampleFeeds({
          x0: batch.x,
          y: batch.y,
          noise: hostTensor('f32', batch.x.shape, noiseOfTurns(turn, batch.x.data.length / turn.length)),
          t: tensorOf(objective.timeType, [turn.length], drawn),
        });
      };
    },
  };
}

export function denoising(model: Denoiser, objective: FlowObjective | GaussianObjective): Learning<Denoiser> {
  return {
    ...measuredDenoising(model, objective),
    feedsOf(key, step, batch) {
      const stepKey = fold(key, 'step', step);
      const count = batch.y.data.length;
      const feeds = perSampleFeeds({
        x0: batch.x,
        y: batch.y,
        noise: hostTensor('f32', batch.x.shape, normal(fold(stepKey, 'noise'), batch.x.data.length)),
        t: objective.sampleTimes(fold(stepKey, 'time'), count),
      });
      const { classDropoutProb } = model.config;
      if (classDropoutProb === 0) return feeds;
      const draws = uniform(fold(stepKey, 'dropout'), model.labelEmbedders * count);
      const isDropped = Uint8Array.from(draws, (draw) => (draw < classDropoutProb ? 1 : 0));
      const dropped = hostTensor('bool', [model.labelEmbedders, count], isDropped);
      return feeds.set('dropped', { tensor: dropped, sampleAxis: 1 });
    },
  };
}

/** Each picture has noise of its own in each of its turns. */
function noiseOfTurns(turns: Int32Array, valuesPerImage: number): Float32Array {
  const noise = new Float32Array(turns.length * valuesPerImage);
  turns.forEach((index, i) => {
    noise.set(normal(fold(MEASURING_KEY, 'noise', index), valuesPerImage), i * valuesPerImage);
  });
  return noise;
}

/** The first number from `target` on that shares no factor with `length`. */
function coprimeNear(target: number, length: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let candidate = Math.max(1, Math.round(target));
  while (gcd(candidate, length) !== 1) candidate++;
  return candidate;
}
