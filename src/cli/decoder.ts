/** @file What decodes latents for the commands that show them. */
import { existsSync } from 'node:fs';
import { uditCommand } from '../core/command.ts';
import { ConfigError, DownloadError } from '../core/errors.ts';
import { squareOf } from '../core/image-size.ts';
import { type LatentSpace, sizeInSpace } from '../core/image-space.ts';
import { bundledFile } from '../models/bundled-files-node.ts';
import type { OpenNetwork } from '../models/bundled-node.ts';
import { findPublished } from '../models/hub/catalogue.ts';
import { type DrawnLatents, tinyAutoencoderOf } from '../models/latent-kinship.ts';
import { expectSameWeights, openAutoencoder } from '../models/open-autoencoder-node.ts';
import { type ModelCard, spaceOf, type UsableAutoencoder } from '../models/saved-model.ts';
import { weightsHash } from '../models/weights-hash-node.ts';
import type { NetworkConfig } from '../networks/nn/network.ts';
import { latentColours, type PreviewDecoder } from '../tasks/sampling/latent-colours.ts';
import {
  type CompiledDecoder,
  createDecoder,
  type DecoderOptions,
} from '../tasks/sampling/latent-decoder.ts';
import { notesOn, type Terminal } from './terminal.ts';

interface DrawingModel {
  readonly card: Pick<ModelCard, 'name' | 'space'>;
  readonly network: { readonly config: NetworkConfig };
}

export interface DecoderFlags {
  readonly autoencoder?: string | undefined;
  /** Nothing is to be decoded. */
  readonly latents?: true;
  /** What is to be encoded. */
  readonly initImage?: string | undefined;
  /** Side of the pieces in pixels. Default: pictures are decoded whole. */
  readonly tile?: number | undefined;
}

/** The paper's, with which all published models of latents were trained. */
const USUAL_AUTOENCODER = 'sd-vae-ft-ema';

/** Of a model of latents. */
export interface LatentsInUse {
  readonly drawn: DrawnLatents;
  /** To be closed. Undefined where none is needed, or none is on this machine. */
  readonly autoencoder: OpenNetwork<'autoencoder'> | undefined;
}

type CompileOptions = Omit<DecoderOptions, 'drawn' | 'tile'>;

/**
 * Of a model of latents, what it draws and their autoencoder: the one asked for, else that of the latents where it is on
 * this machine. Undefined for a model of pixels.
 */
export async function openLatents(
  { card, network }: DrawingModel,
  { autoencoder: asked, latents: undecoded, initImage }: DecoderFlags,
  terminal: Terminal,
): Promise<LatentsInUse | undefined> {
  const space = spaceOf(card, network.config);
  if (space.kind === 'pixels') {
    const given = asked === undefined ? undecoded && '--latents' : '--autoencoder';
    if (given === undefined) return undefined;
    throw new ConfigError({
      where: given,
      problem: `${card.name} draws pixels, not latents`,
      fix: `leave ${given} out`,
    });
  }
  const drawn = { name: card.name, space, config: network.config };
  if (undecoded === true && initImage === undefined) return { drawn, autoencoder: undefined };
  return { drawn, autoencoder: await findAutoencoder(asked, space, terminal) };
}

/** Undefined where nothing is to be decoded, or nothing decodes it. */
export async function compileDecoder(
  { drawn, autoencoder }: LatentsInUse,
  { latents: undecoded, tile }: DecoderFlags,
  options: CompileOptions,
): Promise<CompiledDecoder | undefined> {
  if (undecoded === true || autoencoder === undefined) return undefined;
  const { backend } = options;
  return createDecoder(autoencoder, {
    ...{ ...options, drawn, workers: 1, threads: backend.machine?.cores },
    tile: tile === undefined ? undefined : sizeInSpace(drawn.space, squareOf(tile), '--tile').height,
  });
}

/**
 * What shows predictions of latents: the tiny autoencoder for them where it is on this machine, else what decodes the pictures,
 * else a linear map of their channels.
 *
 * @param decoder - of the pictures
 */
export async function openPreviewDecoder(
  { drawn }: LatentsInUse,
  decoder: CompiledDecoder | undefined,
  options: CompileOptions,
): Promise<PreviewDecoder & { release(): Promise<void> }> {
  const name = tinyAutoencoderOf(drawn.space);
  const tiny = name === undefined || name === decoder?.name ? undefined : await openIfFetched(name);
  if (tiny !== undefined) {
    const compiled = await createDecoder(tiny, { ...options, drawn }).finally(tiny.close);
    return { ...compiled, how: `decoded by ${name}` };
  }
  const release = async (): Promise<void> => undefined;
  if (decoder === undefined) return { ...latentColours(drawn), release };
  const { decode, decodedShape } = decoder;
  return { decode, decodedShape, how: `decoded by ${decoder.name}`, release };
}

/**
 * The autoencoder asked for, else that of the latents, if it is on this machine.
 *
 * @throws ConfigError for one with the name of that of the latents, and other weights
 */
export async function findAutoencoder(
  asked: string | undefined,
  space: LatentSpace,
  terminal: Terminal,
): Promise<OpenNetwork<'autoencoder'> | undefined> {
  const saved = asked === undefined ? await openUsual(space, terminal) : await openAutoencoder(asked);
  if (saved === undefined) return undefined;
  try {
    await expectSameWeights(space, saved);
    return saved;
  } catch (error) {
    await saved.close();
    throw error;
  }
}

/** Which weights decode, on any machine. */
export async function describeWeights({ card, weights }: UsableAutoencoder): Promise<string> {
  return `${card.name}, SHA-256 ${(await weightsHash(weights)).slice(0, 12)}`;
}

/** The autoencoder of these latents, if it is on this machine. */
async function openUsual(
  { autoencoder, autoencoderHash, autoencoderPath }: LatentSpace,
  terminal: Terminal,
): Promise<OpenNetwork<'autoencoder'> | undefined> {
  const name = autoencoder === '' ? USUAL_AUTOENCODER : autoencoder;
  const isPublished = findPublished(name) !== undefined;
  let reason = `${name} is not on this machine`;
  if (autoencoderPath !== undefined && existsSync(autoencoderPath)) {
    const saved = await openAutoencoder(autoencoderPath);
    if ((await weightsHash(saved.weights)) === autoencoderHash) return saved;
    await saved.close();
    reason = `${autoencoderPath} has other weights than when the pictures were encoded`;
  } else if (isPublished || bundledFile(name) !== undefined) {
    const saved = await openIfFetched(name);
    if (saved !== undefined) return saved;
  }
  notesOn(terminal)(
    `latents are not decoded: ${reason}; ${isPublished ? uditCommand('fetch', name) : '--autoencoder FILE'} changes that`,
  );
  return undefined;
}

/** A published autoencoder, if it is on this machine. */
async function openIfFetched(name: string): Promise<OpenNetwork<'autoencoder'> | undefined> {
  try {
    return await openAutoencoder(name);
  } catch (error) {
    if (error instanceof DownloadError) return undefined;
    throw error;
  }
}
