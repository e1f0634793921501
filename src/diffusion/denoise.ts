/** @file What diffusion knows of a model: a function in the graph from noisy images and times to a prediction. */
import type { Tensor } from '../engine/graph/tensor.ts';

// N batch · C H W image or latent

export type Images = Tensor<'N C H W'>;
export type PerSample = Tensor<'N'>;

/**
 * Predicts what the objective asks for from noisy images.
 *
 * @param x - noisy images [N, C, H, W]
 * @param time - float32 [N] in the unit that the network was trained with: original diffusion steps (0 … 999) for
 * Gaussian diffusion, 0 (noise) … 1 (data) times the objective's `timeScale` for flows
 * @returns [N, C, H, W], or [N, 2C, H, W] where variances are learned too
 */
export type Denoise = (x: Images, time: PerSample) => Images;

/** A denoiser that is told a class per image: int64 [N]. */
export type DenoiseWithLabels = (x: Images, time: PerSample, labels: PerSample) => Images;
