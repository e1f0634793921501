/** @file Flags for what a checkpoint does not say itself: which weights of it are meant, and which model they are of. */
import { type Command, Option } from 'commander';
import { ConfigError } from '../core/errors.ts';
import { formatImageSize, type ImageSize, writtenImageSize } from '../core/image-size.ts';
import { type ImageSpace, sizeInPixels, sizeInSpace, USUAL_LATENTS } from '../core/image-space.ts';
import type { FoundNetwork, ModelRequest } from '../models/open-model.ts';
import { spaceOf, type WeightSet } from '../models/saved-model.ts';
import type { DiTConfig } from '../networks/denoisers/dit.ts';
import type { Role } from '../networks/family.ts';
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

/** A size in pixels, or in latents; not both. */
export interface SizeFlags {
  readonly imageSize?: ImageSize;
  readonly latentSize?: ImageSize;
}

export function withSizeFlags(command: Command): Command {
  return command
    .option(
      '--image-size <size>',
      'of the pictures in pixels, also for a model of latents: side, or height x width as in 48x32',
      imageSize,
    )
    .addOption(
      new Option('--latent-size <size>', 'of the latents instead, for a model of latents')
        .argParser(imageSize)
        .conflicts('imageSize'),
    );
}

/**
 * The size in the units of a space.
 *
 * @param name - of the model, for the error
 * @throws ConfigError if a size in latents is given for pixels, or the factor of the latents does not divide one in pixels
 */
export function sizeIn(
  space: ImageSpace,
  { imageSize: pixels, latentSize }: SizeFlags,
  name: string,
): ImageSize | undefined {
  if (latentSize === undefined) return pixels && sizeInSpace(space, pixels);
  if (space.kind === 'latents') return latentSize;
  throw new ConfigError({
    where: '--latent-size',
    problem: `latents of ${formatImageSize(latentSize)} are requested, but ${name} is a model of pixels`,
    fix: `use --image-size ${formatImageSize(latentSize)}`,
  });
}

/**
 * The size at which a network is traced: in latents for a denoiser of latents, in pixels for all others.
 *
 * @throws ConfigError as {@link sizeIn} does
 */
export function tracedSize<R extends Role>(
  { card, network }: Pick<FoundNetwork<R>, 'card' | 'network'>,
  flags: SizeFlags,
): ImageSize | undefined {
  if (card.role === 'autoencoder') {
    return flags.latentSize ? sizeInPixels(card.space, flags.latentSize) : flags.imageSize;
  }
  const space: ImageSpace = card.role === 'features' ? { kind: 'pixels' } : spaceOf(card, network.config);
  return sizeIn(space, flags, card.name);
}

/** At which size a denoiser runs, whatever it was trained at. */
export interface TraceFlags extends SizeFlags {
  readonly positionScaling?: PositionScaling;
}

export function withTraceFlags(command: Command): Command {
  return withSizeFlags(
    command.optionsGroup('At which size (by default the one it was trained at):'),
  ).addOption(
    new Option(
      '--position-scaling <rule>',
      'positions outside the trained grid go on, are interpolated, or have stretched frequencies (default: none)',
    ).choices(POSITION_SCALINGS),
  );
}

export function traceAtOf(
  saved: Pick<FoundNetwork<'denoiser'>, 'card' | 'network'>,
  flags: TraceFlags,
): TraceAt {
  return { size: tracedSize(saved, flags), positionScaling: flags.positionScaling };
}

/** What flags say of a checkpoint. A size with a rule for positions outside the trained grid is not the trained one. */
export function modelRequest({ model, ...flags }: ModelFlags & TraceFlags): ModelRequest {
  const { weights, numClasses, tokens, downFactor, latentSize, positionScaling } = flags;
  const pixels = latentSize ? sizeInPixels(USUAL_LATENTS, latentSize) : flags.imageSize;
  const imageSize = pixels && positionScaling === undefined ? writtenImageSize(pixels) : undefined;
  return { weights, preset: model, numClasses, imageSize, tokens, downFactor };
}
