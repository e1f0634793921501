/** @file The flags that say how images are drawn, shared by the commands that draw. */
import { type Command, Option } from 'commander';
import { DIFFUSION_FORMS, LAST_STEPS } from '../diffusion/flow/sde.ts';
import { SAMPLERS, type SamplerName } from '../diffusion/samplers.ts';
import type { SamplingOptions } from '../diffusion/sampling-plan.ts';
import type { RequestedSettings } from '../tasks/sampling/settings.ts';
import { numberIn, twoNumbers } from './flags.ts';

export interface SamplingFlags extends Omit<SamplingOptions, 'steps'> {
  readonly cfgScale?: number;
  readonly cfgChannels?: '3' | 'all';
  readonly cfgInterval?: readonly [number, number];
  readonly numSamplingSteps?: string;
  readonly sampler?: SamplerName;
}

/** Adds them to a command. */
export function withSamplingFlags(command: Command): Command {
  return command
    .option(
      '--cfg-scale <s>',
      'strength of guidance: 1 is none; higher follows the class more closely',
      numberIn(0, Number.POSITIVE_INFINITY),
    )
    .addOption(new Option('--cfg-channels <n>', 'channels that are guided').choices(['3', 'all']))
    .option(
      '--cfg-interval <lo,hi>',
      'guide only steps at these times: 0 noise … 1 image for flows, 999 noise … 0 image for others',
      twoNumbers,
    )
    .option(
      '--steps, --num-sampling-steps <n>',
      'steps from noise to image; for Gaussian diffusion also as in ddim50',
    )
    .addOption(
      new Option(
        '--sampler <name>',
        'euler … sde-heun: flows; ddpm, ddim: Gaussian diffusion; dpm++: both',
      ).choices(Object.keys(SAMPLERS)),
    )
    .option('--shift <s>', 'flows: above 1 spends more of the steps near the noise', numberIn(0.01, 100))
    .option('--eta <x>', 'ddim, dpm++2m-sde: share of new noise in each step', numberIn(0, 1))
    .option('--rtol <x>', 'dopri5: relative tolerance of a step', numberIn(1e-12, 1))
    .option('--atol <x>', 'dopri5: absolute tolerance of a step', numberIn(1e-12, 1))
    .addOption(
      new Option('--diffusion-form <name>', 'sde: diffusion coefficient over time').choices(
        Object.keys(DIFFUSION_FORMS),
      ),
    )
    .option(
      '--diffusion-norm <x>',
      'sde: factor of the diffusion coefficient; 0 is the ODE',
      numberIn(0, Number.POSITIVE_INFINITY),
    )
    .addOption(
      new Option('--last-step <name>', 'sde: form of the last step, which adds no noise').choices(LAST_STEPS),
    )
    .option('--last-step-size <t>', 'sde: length of the last step in time', numberIn(0.0001, 0.9))
    .option('--clip', 'Gaussian diffusion: clip predicted images to their range')
    .option('--no-clip', 'Gaussian diffusion: do not clip predicted images');
}

/** What the user asked for; flags that were not given are undefined. */
export function requestedSettings(flags: SamplingFlags): RequestedSettings {
  const { sampler, cfgScale, cfgInterval, shift, eta, clip, numSamplingSteps: steps, cfgChannels } = flags;
  const { atol, rtol, diffusionForm, diffusionNorm, lastStep, lastStepSize } = flags;
  return {
    sampler,
    cfgScale,
    cfgInterval,
    shift,
    eta,
    clip,
    atol,
    rtol,
    diffusionForm,
    diffusionNorm,
    lastStep,
    lastStepSize,
    steps: steps !== undefined && /^\d+$/.test(steps) ? Number(steps) : steps,
    cfgChannels: cfgChannels === '3' ? 3 : cfgChannels,
  };
}
