/** @file Classifier-free guidance (Ho & Salimans 2022): the network sees every image twice, with and without its class. */
import { ConfigError } from '../core/errors.ts';
import { scalar } from '../core/host-tensor.ts';
import { add, broadcastTo, concat, constant, mul, slice, sub } from '../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../engine/graph/tensor.ts';
import type { Denoise, DenoiseWithLabels, Images, PerSample } from './denoise.ts';

export interface GuidanceOptions {
  /** Classes of the N images, int64 [N]. */
  readonly labels: PerSample;
  /** Float32 scalar, usually an input of the graph: 1 is no guidance. */
  readonly scale: Tensor;
  /**
   * How many channels are guided. The reference guides the first 3 of a latent's 4, by oversight, and its published
   * numbers depend on it.
   */
  readonly channels: 3 | 'all';
  /** The label that stands for no class; the reference's is the number of classes. */
  readonly nullLabel: number;
}

/**
 * A guided denoiser of N images; the network runs on 2N. Channels that are not guided (the rest of the latent, learned
 * variances) are those predicted with the class.
 */
export function guided(network: DenoiseWithLabels, options: GuidanceOptions): Denoise {
  return (x, time) => slice(guidedOutput(network, options, x, concat([time, time], 0)), 0, 0, x.shape[0]!);
}

/**
 * The reference's form, `forward_with_cfg`: it walks 2N images of which the first half is denoised with and the second
 * without class, always from the first half's images. The first half is what {@link guided} gives; the second differs
 * in the channels that are not guided and in its noise, and is thrown away in the end.
 */
export function guidedPairs(network: DenoiseWithLabels, options: GuidanceOptions): Denoise {
  return (x, time) => guidedOutput(network, options, slice(x, 0, 0, x.shape[0]! / 2), time);
}

/** @param time - [2N] */
function guidedOutput(
  network: DenoiseWithLabels,
  { labels, scale, channels, nullLabel }: GuidanceOptions,
  x: Images,
  time: PerSample,
): Unlabelled {
  const [count, imageChannels] = x.shape as [number, number];
  if (channels === 3 && imageChannels < 3) {
    throw new ConfigError({
      where: 'guided',
      problem: `3 channels are to be guided, the images have ${imageChannels}`,
      fix: "guide 'all' channels",
    });
  }
  const guidedChannels = channels === 'all' ? imageChannels : channels;
  const nullLabels = broadcastTo(constant(scalar('i64', nullLabel)), [count]);
  const output = network(concat([x, x], 0), time, concat([labels, nullLabels], 0));
  const prediction = slice(output, 1, 0, guidedChannels);
  const conditional = slice(prediction, 0, 0, count);
  const unconditional = slice(prediction, 0, count, 2 * count);
  const combined = add(unconditional, mul(scale, sub(conditional, unconditional)));
  const pair = concat([combined, combined], 0);
  const outputChannels = output.shape[1]!;
  if (guidedChannels === outputChannels) return pair;
  return concat([pair, slice(output, 1, guidedChannels, outputChannels)], 1);
}
