/** @file Flags for what a checkpoint does not say itself: which weights of it are meant, and which model they are of. */
import { type Command, Option } from 'commander';
import { type ImageSize, writtenImageSize } from '../core/image-size.ts';
import { sizeInSpace } from '../core/image-space.ts';
import type { ModelRequest } from '../models/open-model.ts';
import { type ModelCard, spaceOf, type WeightSet } from '../models/saved-model.ts';
import type { Denoiser } from '../networks/denoisers/denoiser.ts';
import type { DiTConfig } from '../networks/denoisers/dit.ts';
import { POSITION_SCALINGS, type PositionScaling } from '../networks/nn/position-scaling.ts';
import type { TraceAt } from '../networks/trace.ts';
import { imageSize, wholeNumber } from './flags.ts';

export interface ModelFlags {
  readonly weights?: WeightSet;
  readonly model?: string;
  readonly numClasses?: number;
  readonly tokens?: DiTConfig['tokens'];
  readonly downFactor?: number;
}

export function withModelFlags(command: Command): Command {
  const count = wholeNumber({ from: 1 });
  return command
    .optionsGroup('Which weights, and of which model, where the file leaves it open:')
    .option('--weights <set>', 'ema, model, or the name of another average (default: ema if there is one)')
    .option('--model <preset>', 'model of the weights, as in DiT-XL/2 (default: recognised by their shapes)')
    .option('--num-classes <n>', 'classes it was trained on, if not those of the preset', count)
    .addOption(
      new Option(
        '--tokens <which>',
        'DiT and SiT, without training: tokens that attention downsamples: kv (ToDo), qkv, or none',
      ).choices(['kv', 'qkv', 'none']),
    )
    .option('--down-factor <n>', 'factor of the downsampling along each side (default: 2)', count);
}

/** At which size a network runs, whatever it was trained at. */
export interface SizeFlags {
  /** In pixels. */
  readonly imageSize?: ImageSize;
  readonly positionScaling?: PositionScaling;
}

export function withSizeFlags(command: Command): Command {
  return command
    .optionsGroup('At which size (by default the one it was trained at):')
    .option(
      '--image-size <size>',
      'side, or height x width as in 48x32, in pixels, of which latents are an eighth',
      imageSize,
    )
    .addOption(
      new Option(
        '--position-scaling <rule>',
        'positions outside the trained grid go on, are interpolated, or have stretched frequencies (default: none)',
      ).choices(POSITION_SCALINGS),
    );
}

/** The same in the values that a model has for its images. */
export function traceAtOf(
  { card, network }: { readonly card: Pick<ModelCard, 'space'>; readonly network: Pick<Denoiser, 'config'> },
  { imageSize: pixels, positionScaling }: SizeFlags,
): TraceAt {
  const size = pixels && sizeInSpace(spaceOf(card, network.config), pixels);
  return { size, positionScaling };
}

export function modelRequest({ model, ...flags }: ModelFlags & SizeFlags): ModelRequest {
  const { weights, numClasses, imageSize: pixels, tokens, downFactor } = flags;
  const trained = pixels && writtenImageSize(pixels);
  return { weights, preset: model, numClasses, imageSize: trained, tokens, downFactor };
}
