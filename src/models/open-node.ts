/** @file Opens the model that a name, a path or a URL means. */
import { fileURLToPath } from 'node:url';
import { expectOptions } from '../core/options.ts';
import type { Role } from '../networks/family.ts';
import { locateCheckpoint, openCheckpoint } from './bundled-node.ts';
import { type NetworkRequest, REQUEST_OPTIONS } from './open-model.ts';
import type { SavedNetwork } from './saved-model.ts';

/**
 * A model with its weights in memory.
 *
 *     const saved = await openModel('runs/photos');
 *     saved.card.classNames;
 *
 * @param where - a checkpoint file, a run folder (its latest checkpoint), the name of fetched weights, or a `file:` URL
 * @throws CheckpointError if there is none, it is damaged, or it holds no model that is known
 * @throws ConfigError if an option contradicts the file
 */
export async function openModel<R extends Role = 'denoiser'>(
  where: string | URL,
  request: NetworkRequest<R> = {},
): Promise<SavedNetwork<R>> {
  expectOptions(request, 'openModel', REQUEST_OPTIONS);
  const path = await locateCheckpoint(where instanceof URL ? fileURLToPath(where) : where);
  return openCheckpoint<R>(path, request);
}
