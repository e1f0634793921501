/** @file What a sampler is to whoever runs it: the graph of one step, and the numbers that each step is fed. */
import { ConfigError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import type { Unlabelled } from '../engine/graph/tensor.ts';
import type { Denoise, Images } from './denoise.ts';
import type { Interval } from './flow/flow.ts';
import type { DiffusionForm, LastStep } from './flow/sde.ts';
import type { OdeTolerances } from './solvers/ode-solver.ts';

export interface SamplingOptions {
  /**
   * Number of steps, spread evenly. For Gaussian diffusion also a respacing such as `'ddim50'` or `'10,15,20'`, see
   * `spacedSteps`. Every sampler needs it but those that choose their steps on the way.
   */
  readonly steps?: number | string;
  /**
   * Share of new noise per step, from 0 (none) to 1. For `ddim` (default 0; 1 is as much as `ddpm`) and `dpm++2m-sde`
   * (default 1; 0 is `dpm++2m`).
   */
  readonly eta?: number;
  /** For Gaussian diffusion: limit predicted images to [−1, 1] in each step. Default false; right for pixels only. */
  readonly clip?: boolean;
  /**
   * For flows: above 1, more of the steps are spent near the noise, where the way bends most; see `flowTimes`. Default 1,
   * which is steps of equal time.
   */
  readonly shift?: number;
  /** For `dopri5`: the error that a step may make, `atol + rtol · |value|`. Default 1e-6 and 1e-3, as the reference. */
  readonly atol?: number;
  readonly rtol?: number;
  /**
   * For SDEs: how much is renewed at which time, and by which factor more; default `sigma` and 1. See
   * `DIFFUSION_FORMS`.
   */
  readonly diffusionForm?: DiffusionForm;
  readonly diffusionNorm?: number;
  /** For SDEs: how the way ends, and how long before the data; default `mean` and 0.04. */
  readonly lastStep?: LastStep;
  readonly lastStepSize?: number;
  /**
   * Where drawing begins, as a share of the way from data to noise, above 0: only steps that begin no noisier are taken.
   * A multistep sampler has nothing to remember at the first of them. Default 1, which is noise.
   */
  readonly strength?: number;
}

export interface SamplerStep {
  /** The images after the step, [N, C, H, W]: less noisy by one step. */
  readonly x: Unlabelled;
  /** The finished images that the network saw in them at the step's start, [N, C, H, W]. */
  readonly x0: Unlabelled;
  /** What the next step is to remember, by the names of the plan's `memory`, [N, C, H, W] each. */
  readonly memory?: Readonly<Record<string, Unlabelled>>;
}

export interface SamplingPlan {
  /**
   * What each step is fed, from noise to data, beside images, noise and memory. Always among it is `time`, a float32
   * scalar: the step's time as the objective counts it, 999 … 0 or 0 … 1.
   */
  readonly steps: readonly TensorMap[];
  /** Evaluations of the network in all. */
  readonly nfe: number;
  /** Does each step need new standard normal noise of the images' shape? */
  readonly usesNoise: boolean;
  /**
   * Names of what a multistep sampler carries from step to step beside the images, each of their shape. The first step
   * gets zeros.
   */
  readonly memory: readonly string[];
  /**
   * The graph of one step. It adds an input for each name in `steps` and in `memory`.
   *
   * @param x - the images so far; standard normal noise at first
   * @param noise - needed if `usesNoise`, ignored otherwise
   */
  build(denoise: Denoise, x: Images, noise?: Images): SamplerStep;
}

/** What a sampler is that chooses its steps on the way, by the error that each makes: see `solveAdaptively`. */
export interface AdaptivePlan {
  /** Times from noise to data. */
  readonly interval: Interval;
  readonly tolerances: OdeTolerances;
  /**
   * The graph of one evaluation: where the images `x` [N, C, H, W] go at `time`, an input that it adds, and the finished
   * images that the network sees in them.
   */
  build(denoise: Denoise, x: Images): { readonly slope: Unlabelled; readonly x0: Unlabelled };
}

/** @throws ConfigError if a share of new noise is none */
export function expectShare(eta: number, sampler: string): void {
  if (eta >= 0 && eta <= 1) return;
  throw new ConfigError({
    where: `sampler ${sampler}`,
    problem: `eta is ${eta}, outside 0 … 1`,
    fix: 'use 0 for no new noise, 1 for as much as the forward process adds',
  });
}

/** @throws ConfigError where a step is built without the noise that it needs */
export function requireNoise(noise: Images | undefined, sampler: string): Images {
  if (noise !== undefined) return noise;
  throw new ConfigError({ where: `sampler ${sampler}`, problem: 'its steps need noise, none was given' });
}
