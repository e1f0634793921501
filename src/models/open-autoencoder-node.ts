/** @file Opens the autoencoder that a name or a path means. */
import type { LatentSpace } from '../core/image-space.ts';
import { openCheckpoint } from './bundled-node.ts';
import { findPublished } from './hub/catalogue.ts';
import { locatePublished } from './hub/fetch-weights-node.ts';
import type { WeightsCache } from './hub/weights-cache-node.ts';
import { findCheckpointFile } from './locate-node.ts';
import type { SavedNetwork } from './saved-model.ts';

/**
 * An autoencoder with its weights in memory. One from the catalogue has its name there, since its tensors do not show
 * which latents it was trained for.
 *
 *     const { network, card } = await openAutoencoder('TAESD');
 *
 * @param argument - the name of fetched weights, a file (either of two), or a run folder
 * @throws CheckpointError if it is no autoencoder
 * @throws DownloadError if published weights are not fetched yet
 */
export async function openAutoencoder(
  argument: string,
  cache?: WeightsCache,
): Promise<SavedNetwork<'autoencoder'>> {
  const published = findPublished(argument);
  const path =
    (await locatePublished(argument, 'autoencoder', cache)) ?? (await findCheckpointFile(argument));
  const saved = await openCheckpoint(path, { role: 'autoencoder' });
  if (published === undefined) return saved;
  const space = { ...(saved.card.space as LatentSpace), autoencoder: published.name };
  return { ...saved, card: { ...saved.card, name: published.name, space } };
}
