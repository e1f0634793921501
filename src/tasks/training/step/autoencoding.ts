/** @file How variational autoencoders learn: to give back a picture from a latent drawn near its mean. */
import { hostTensor } from '../../../core/host-tensor.ts';
import { fold, normal } from '../../../core/random.ts';
import { sizeOf } from '../../../core/shape.ts';
import type { Loss } from '../../../diffusion/objective.ts';
import { add, input, maximum, mean, mul, neg, slice, sub } from '../../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../../engine/graph/tensor.ts';
import type { Autoencoder } from '../../../networks/autoencoders/autoencoder.ts';
import { klToStandardNormal, sampleLatents } from '../../../networks/autoencoders/latent-distribution.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import { type Learning, perSampleFeeds } from './learning.ts';

/** What the terms of the loss weigh; that of the pixels' distance is 1. */
export interface ReconstructionObjective {
  /** Of the distance of neighbouring pixels' differences, which keeps edges sharp. */
  readonly gradientWeight: number;
  /** Of the divergence of the latents from the standard normal distribution, in nats per value of the picture. */
  readonly klWeight: number;
}

/** The loss is a graph over inputs `x` and, in training, `noise` of the latents. */
export function autoencoding(
  network: Autoencoder,
  { gradientWeight, klWeight }: ReconstructionObjective,
): Learning<Autoencoder> {
  const pictureShape = imageShapeOf(network.config);
  const { latentChannels, factor } = network.config;
  const [, height, width] = pictureShape as [number, number, number];
  const latentShape = [latentChannels, height / factor, width / factor];
  return {
    network,
    buildLoss(batchSize, { training }): Loss {
      const x = input('x', [batchSize, ...pictureShape]) as Tensor<'N C H W'>;
      const latents = network.distribution(x);
      const z = training ? sampleLatents(latents, input('noise', [batchSize, ...latentShape])) : latents.mean;
      const error = sub(network.decode(z as Tensor<'N Z H W'>), x);
      const pixels = perPicture(abs(error));
      const gradient = mul(
        add(perPicture(abs(differences(error, 2))), perPicture(abs(differences(error, 3)))),
        0.5,
      );
      const terms = { l1: pixels, gradient: mul(gradient, gradientWeight) };
      const distance = add(terms.l1, terms.gradient);
      if (latents.logVariance === undefined) return { perSample: distance, terms };
      const nats = klToStandardNormal(latents.mean, latents.logVariance);
      const kl = mul(nats, klWeight / sizeOf(pictureShape));
      return { perSample: add(distance, kl), terms: { ...terms, kl } };
    },
    feedsOf(key, step, batch) {
      const count = batch.y.data.length;
      const shape = [count, ...latentShape];
      const noise = normal(fold(key, 'step', step, 'noise'), sizeOf(shape));
      return perSampleFeeds({ x: batch.x, noise: hostTensor('f32', shape, noise) });
    },
    measurement: () => (_, batch) => perSampleFeeds({ x: batch.x }),
  };
}

const abs = (x: Tensor): Unlabelled => maximum(x, neg(x));

/** The mean over all values of each picture: [N, C, H, W] → [N]. */
const perPicture = (x: Tensor): Unlabelled => mean(x, [1, 2, 3]);

/** Differences of neighbours along an axis. */
function differences(x: Tensor, axis: number): Unlabelled {
  const length = x.shape[axis]!;
  return sub(slice(x, axis, 1, length), slice(x, axis, 0, length - 1));
}
