/** @file Flags for what a checkpoint does not say itself: which weights of it are meant, and which model they are of. */
import { type Command, Option } from 'commander';
import type { ModelRequest } from '../models/open-model.ts';
import type { WeightSet } from '../models/saved-model.ts';
import type { DiTConfig } from '../networks/denoisers/dit.ts';
import { wholeNumber } from './flags.ts';

export interface ModelFlags {
  readonly weights?: WeightSet;
  readonly model?: string;
  readonly numClasses?: number;
  readonly imageSize?: number;
  readonly tokens?: DiTConfig['tokens'];
  readonly downFactor?: number;
}

export function withModelFlags(command: Command): Command {
  const count = wholeNumber({ from: 1 });
  return command
    .optionsGroup('Which weights, and of which model, where the file leaves it open:')
    .addOption(
      new Option('--weights <set>', 'moving average or last weights (default: ema if there is one)').choices([
        'ema',
        'model',
      ]),
    )
    .option('--model <preset>', 'what the weights are of, as in DiT-XL/2 (default: what their shapes show)')
    .option('--num-classes <n>', 'classes it was trained on, if not those of the preset', count)
    .option(
      '--image-size <n>',
      'pixels of the images it was trained on, of which latents are an eighth',
      count,
    )
    .addOption(
      new Option(
        '--tokens <which>',
        'DiT and SiT, without training: let attention downsample kv (ToDo), qkv, or none',
      ).choices(['kv', 'qkv', 'none']),
    )
    .option('--down-factor <n>', 'by how much along each side (default: 2)', count);
}

export function modelRequest({ model, ...flags }: ModelFlags): ModelRequest {
  const { weights, numClasses, imageSize, tokens, downFactor } = flags;
  return { weights, preset: model, numClasses, imageSize, tokens, downFactor };
}
