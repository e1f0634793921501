/** @file Opens a model that a page has fetched. */
import { DownloadError } from '../core/errors.ts';
import { type ModelBytes, type OpenModelOptions, openModel as openBytes } from '../models/open-bytes.ts';
import type { SavedNetwork } from '../models/saved-model.ts';
import type { Role } from '../networks/family.ts';

/**
 * The model in a response, or in bytes that a page has already.
 *
 *     const saved = await openModel(await fetch('u-dit-xs-emoji.safetensors'));
 *
 * @throws DownloadError if the server answered with an error
 * @throws CheckpointError if the bytes are damaged, or hold no model that is known
 */
export async function openModel<R extends Role = 'denoiser'>(
  source: Response | ModelBytes,
  options: OpenModelOptions<R> = {},
): Promise<SavedNetwork<R>> {
  if (!(source instanceof Response)) return openBytes(source, options);
  const name = options.name ?? source.url;
  if (!source.ok) {
    throw new DownloadError({
      where: name,
      problem: `the server answered ${source.status} ${source.statusText}`.trimEnd(),
      fix: 'check the address',
    });
  }
  return openBytes(await source.arrayBuffer(), { ...options, name });
}
