/** @file The flags that say how images are drawn, shared by the commands that draw. */
import { type Command, Option } from 'commander';
import { SAMPLERS, type SamplerName } from '../diffusion/samplers.ts';
import type { RequestedSettings } from '../sampling/settings.ts';
import { numberIn } from './flags.ts';

export interface SamplingFlags {
  readonly cfgScale?: number;
  readonly cfgChannels?: '3' | 'all';
  readonly numSamplingSteps?: string;
  readonly sampler?: SamplerName;
  readonly eta?: number;
  readonly clip?: boolean;
}

/** Adds them to a command. */
export function withSamplingFlags(command: Command): Command {
  return command
    .option(
      '--cfg-scale <s>',
      'guidance: 1 none, more is truer to the class',
      numberIn(0, Number.POSITIVE_INFINITY),
    )
    .addOption(new Option('--cfg-channels <n>', 'channels that are guided').choices(['3', 'all']))
    .option(
      '--steps, --num-sampling-steps <n>',
      'steps from noise to image; for ddpm and ddim also as in ddim50',
    )
    .addOption(new Option('--sampler <name>', 'euler and heun for flows').choices(Object.keys(SAMPLERS)))
    .option('--eta <x>', 'ddim: share of new noise per step', numberIn(0, 1))
    .option('--clip', 'ddpm, ddim: keep predicted images in range')
    .option('--no-clip', 'ddpm, ddim: let them go beyond it');
}

/** What the user asked for; flags that were not given are undefined. */
export function requestedSettings(flags: SamplingFlags): RequestedSettings {
  const { sampler, cfgScale, eta, clip, numSamplingSteps: steps, cfgChannels } = flags;
  return {
    sampler,
    cfgScale,
    eta,
    clip,
    steps: steps !== undefined && /^\d+$/.test(steps) ? Number(steps) : steps,
    cfgChannels: cfgChannels === '3' ? 3 : cfgChannels,
  };
}
