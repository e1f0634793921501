/** @file Opens latents to be evaluated: encoded pictures of any layout, or an archive that `udit sample` has written. */
import { readdir, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import type { HostTensor } from '../../core/host-tensor.ts';
import type { LatentSpace } from '../../core/image-space.ts';
import { LATENTS_FILE } from '../../data/datasets/latents/latent-card.ts';
import { holdsLatents, openLatents } from '../../data/datasets/latents/open-latents-node.ts';
import { openNpzFile } from '../../formats/file-node.ts';
import { UNNAMED_ARRAY } from '../../formats/npz.ts';
import { inBatches, samplesInBatches } from './batches.ts';
import type { StoredLatents } from './latent-pictures.ts';
import { labelsOf } from './open-pictures-node.ts';

/** Latents read at once. */
const BATCH = 8;
/** Arrays of pictures end with their colours. */
const COLOURS = 3;

/**
 * Undefined if something else lies there.
 *
 * @throws DataError if the latents are damaged
 */
export async function openStoredLatents(where: string): Promise<StoredLatents | undefined> {
  const found = await stat(where).catch(() => undefined);
  if (found === undefined) return undefined;
  if (found.isDirectory()) return (await isEncoded(where)) ? openEncoded(where) : undefined;
  return where.endsWith('.npz') ? openLatentArchive(where) : undefined;
}

/** Shards have the ending of models: a list or statistics beside them tell which they are. */
async function isEncoded(folder: string): Promise<boolean> {
  const names = await readdir(folder);
  const endings = new Set(names.map((name) => extname(name)));
  const areModels = endings.has('.safetensors') && !endings.has('.pt') && !names.includes(LATENTS_FILE);
  return !areModels && holdsLatents(folder);
}

/** The means of encoded pictures, without noise and mirrored ones. */
async function openEncoded(name: string): Promise<StoredLatents> {
  const { samples } = await openLatents(name, { flip: false });
  const root = resolve(name);
  const files = (await readdir(root, { recursive: true })).sort();
  const states = await Promise.all(files.map((file) => stat(join(root, file))));
  return {
    name,
    count: samples.length,
    shape: samples.shape,
    space: samples.space as LatentSpace,
    identity: { latents: root, files: files.map((file, i) => [file, states[i]!.size, states[i]!.mtimeMs]) },
    labels: samples.labels,
    batches: (start) => samplesInBatches(samples, start, BATCH),
    close: async () => {},
  };
}

/** `arr_0` f32 [N, C, H, W], as a model has drawn it. */
async function openLatentArchive(name: string): Promise<StoredLatents | undefined> {
  const file = await openNpzFile(name);
  try {
    const array = file.names.includes(UNNAMED_ARRAY) ? await file.array(UNNAMED_ARRAY) : undefined;
    const [count = 0, channels = 0, height = 0, width = 0] = array?.shape ?? [];
    const isOfLatents = array?.shape.length === 4 && width !== COLOURS && count > 0;
    if (!isOfLatents || (await array.read(0, 1)).dtype !== 'f32') {
      await file.close();
      return undefined;
    }
    const { size, mtimeMs } = await stat(name);
    return {
      name,
      count,
      shape: [channels, height, width],
      space: undefined,
      labels: await labelsOf(file),
      identity: { archive: resolve(name), bytes: size, changedMs: mtimeMs },
      batches: (start) =>
        inBatches({ start, count, size: BATCH }, (begin, end) => array.read(begin, end)) as AsyncGenerator<
          HostTensor<'f32'>
        >,
      close: file.close,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
