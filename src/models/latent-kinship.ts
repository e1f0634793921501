/** @file Whether a decoder belongs to a model's latents, and how it takes them. */
import { ConfigError } from '../core/errors.ts';
import { type LatentSpace, perChannel, USUAL_LATENTS } from '../core/image-space.ts';
import type { NetworkConfig } from '../networks/nn/network.ts';
import { CATALOGUE, findPublished } from './hub/catalogue.ts';
import type { AutoencoderCard, NetworkOfRole } from './saved-model.ts';

export interface DrawnLatents {
  /** Name of the model that draws them. */
  readonly name: string;
  readonly space: LatentSpace;
  readonly config: Pick<NetworkConfig, 'inChannels'>;
}

export interface Decoder {
  readonly card: Pick<AutoencoderCard, 'name' | 'space'>;
  readonly network: Pick<NetworkOfRole['autoencoder'], 'config'>;
}

/** Of each channel: what is taken is latent / scale + shift. */
export interface Denormalisation {
  readonly scale: readonly number[];
  readonly shift: readonly number[];
}

/**
 * How a decoder takes the latents that a model draws. It fits if it was trained for latents of the same kind; where one
 * of the two is not known, the shape of the latents decides.
 *
 * @throws ConfigError with both names if it does not
 */
export function denormalisationFor(drawn: DrawnLatents, { card, network }: Decoder): Denormalisation {
  const channels = drawn.config.inChannels;
  const { factor, latentChannels } = network.config;
  if (channels !== latentChannels || drawn.space.factor !== factor) {
    throw refused(
      drawn,
      card.name,
      `${drawn.name} draws latents of ${channels} channels at 1/${drawn.space.factor} of the side, ` +
        `${card.name} decodes ${latentChannels} channels at 1/${factor}`,
    );
  }
  const [kind, decoded] = [kindOf(drawn.space), kindOf(card.space as LatentSpace)];
  if (kind !== undefined && decoded !== undefined && kind !== decoded) {
    throw refused(
      drawn,
      card.name,
      `${drawn.name} draws latents of ${kind}, ${card.name} decodes those of ${decoded}`,
    );
  }
  const own = card.space as LatentSpace;
  const each = (value: LatentSpace['scale']) => perChannel(value, channels);
  const [scale, shift] = [each(drawn.space.scale), each(drawn.space.shift)];
  // Tiny autoencoders have latents of the usual scale, and the model may have others of the same network.
  const isTiny = own.scale !== USUAL_LATENTS.scale;
  return (isTiny ? inUsualScale(drawn.space, channels) : undefined) ?? { scale, shift };
}

/**
 * How latents become those of Stable Diffusion in their usual scale: (latent / scale + shift − usual shift) · usual scale.
 *
 * @returns undefined for latents of other networks
 */
export function inUsualScale(space: LatentSpace, channels: number): Denormalisation | undefined {
  if (kindOf(space) !== STABLE_DIFFUSION) return undefined;
  return {
    scale: perChannel(space.scale, channels).map((value) => value / USUAL_LATENTS.scale),
    shift: perChannel(space.shift, channels).map(
      (value) => (value - USUAL_LATENTS.shift) * USUAL_LATENTS.scale,
    ),
  };
}

/** The published tiny autoencoder for latents, where there is one. */
export function tinyAutoencoderOf(space: LatentSpace): string | undefined {
  const kind = kindOf(space);
  return CATALOGUE.find(({ latents, isTiny }) => isTiny === true && latents === kind)?.name;
}

const STABLE_DIFFUSION = 'Stable Diffusion';

/** The latents that an autoencoder decodes, as models draw them, where nothing else tells what they are. */
export function latentsOf({ space }: Decoder['card']): LatentSpace {
  const own = space as LatentSpace;
  // Tiny autoencoders have a scale of their own, models that draw for them have not.
  return kindOf(own) === STABLE_DIFFUSION ? { ...USUAL_LATENTS, autoencoder: own.autoencoder } : own;
}

/** Which diffusion models have such latents; undefined where nothing tells. */
function kindOf({ autoencoder, factor, scale }: LatentSpace): string | undefined {
  if (autoencoder !== '') return findPublished(autoencoder)?.latents ?? autoencoder;
  const isUsual = factor === USUAL_LATENTS.factor && scale === USUAL_LATENTS.scale;
  return isUsual ? STABLE_DIFFUSION : undefined;
}

function refused({ space }: DrawnLatents, decoder: string, problem: string): ConfigError {
  const kind = kindOf(space);
  const published = CATALOGUE.filter(({ latents }) => latents !== undefined && latents === kind);
  const names = published.length > 0 ? published.map(({ name }) => name) : [kind ?? 'another autoencoder'];
  return new ConfigError({ where: decoder, problem, fix: `decode with ${names.join(' or ')}` });
}
