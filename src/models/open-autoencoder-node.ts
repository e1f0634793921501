/** @file Opens the autoencoder that a name or a path means, and tells whether it is that of latents. */
import { ConfigError } from '../core/errors.ts';
import type { LatentSpace } from '../core/image-space.ts';
import { bundledFile } from './bundled-files-node.ts';
import { findCheckpoint, type OpenNetwork } from './bundled-node.ts';
import { findPublished } from './hub/catalogue.ts';
import { locatePublished } from './hub/fetch-weights-node.ts';
import type { WeightsCache } from './hub/weights-cache-node.ts';
import { findCheckpointFile } from './locate-node.ts';
import type { SavedNetwork, UsableAutoencoder } from './saved-model.ts';
import { weightsHash } from './weights-hash-node.ts';

/**
 * An autoencoder whose weights are read when they are needed; to be closed when no more are. One from the catalogue has its
 * name there, since its tensors do not show which latents it was trained for.
 *
 *     const { network, card, close } = await openAutoencoder('TAESD');
 *
 * @param argument - the name of fetched weights or of a bundled network, a file (either of two), or a run folder
 * @throws CheckpointError if it is no autoencoder
 * @throws DownloadError if published weights are not fetched yet
 */
export async function openAutoencoder(
  argument: string,
  cache?: WeightsCache,
): Promise<OpenNetwork<'autoencoder'>> {
  const published = findPublished(argument);
  const path =
    (await locatePublished(argument, 'autoencoder', cache)) ?? (await findCheckpointFile(argument));
  const saved = await findCheckpoint(path, { role: 'autoencoder' });
  if (published === undefined) return saved;
  const space = { ...(saved.card.space as LatentSpace), autoencoder: published.name };
  return { ...saved, card: { ...saved.card, name: published.name, space } };
}

/**
 * Decoders of other names are for `denormalisationFor` to judge.
 *
 * @throws ConfigError for an autoencoder that has the name of the one that encoded the latents, and other weights
 */
export async function expectSameWeights(
  { autoencoder, autoencoderHash: expected, autoencoderPath }: LatentSpace,
  { card, weights }: Pick<UsableAutoencoder, 'card' | 'weights'>,
): Promise<void> {
  if (expected === undefined || autoencoder !== nameIn(card)) return;
  const found = await weightsHash(weights);
  if (found === expected) return;
  throw new ConfigError({
    where: autoencoder,
    problem: `the latents are those of weights ${expected.slice(0, 12)}…; this autoencoder has the same name and weights ${found.slice(0, 12)}…`,
    fix: `give the autoencoder that encoded the pictures${autoencoderPath === undefined ? '' : `; it was ${autoencoderPath} then`}`,
  });
}

/** What latents call their autoencoder. */
export function nameIn({ name, space }: SavedNetwork<'autoencoder'>['card']): string {
  const { autoencoder } = space as LatentSpace;
  return autoencoder === '' ? name : autoencoder;
}

/** Where it lies, for latents to note; undefined for one that its name finds on any machine. */
export function pathOf(argument: string): string | undefined {
  return findPublished(argument) === undefined && bundledFile(argument) === undefined ? argument : undefined;
}
