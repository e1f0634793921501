/** @file Opens encoded pictures, whoever encoded them: the layout is recognised by what lies there. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { plural } from '../../../charts/format.ts';
import { ConfigError, DataError } from '../../../core/errors.ts';
import { formatImageSize, parseImageSize } from '../../../core/image-size.ts';
import type { PreparationOptions } from '../preparation-node.ts';
import { countPerClass, type Samples } from '../samples.ts';
import { featureFolders, openArrayPairs } from './array-pairs-node.ts';
import { isDistributionFile, LIST, openDistributions } from './distribution-files-node.ts';
import { LATENTS_FILE } from './latent-card.ts';
import { type LatentStore, latentSamples } from './latent-store.ts';
import type { OpenedLatents } from './opened-latents.ts';
import { openPickledPairs } from './pickled-pairs-node.ts';
import { openShards } from './shards-node.ts';
import { filesOfFolder, filesOfZip } from './stored-files-node.ts';

export interface LatentsOptions extends PreparationOptions {
  /** Takes the latents of mirrored pictures half of the time, where there are such; true by default. */
  readonly flip?: boolean;
  /** Of the pictures, in pixels; null, the default, takes latents of any size. */
  readonly imageSize?: number | string | null;
}

export interface LatentData {
  readonly samples: Samples;
  /** One line: whose layout it is, how many latents of which size, how the numbers were understood. */
  readonly recognised: string;
}

function expectPictureSize(
  where: string,
  { shape: [, height, width], space: { factor } }: LatentStore,
  imageSize: number | string | null,
): void {
  if (imageSize === null) return;
  const asked = formatImageSize(parseImageSize(imageSize));
  const found = formatImageSize({ height: height * factor, width: width * factor });
  if (asked === found) return;
  throw new ConfigError({
    where,
    problem: `its latents of ${height}×${width} are those of pictures of ${found} pixels; ${asked} are asked for`,
    fix: `leave --image-size out, or encode the pictures at ${asked}`,
  });
}

type Opener = (options: PreparationOptions) => Promise<OpenedLatents>;

/** Does this path hold encoded pictures? Looks at names only. */
export async function holdsLatents(path: string): Promise<boolean> {
  return (await openerAt(path)) !== undefined;
}

/** @throws DataError if latents lie where pictures are expected */
export async function expectNoLatents(path: string): Promise<void> {
  if (!(await holdsLatents(path))) return;
  throw new DataError({
    where: path,
    problem: 'it holds latents, not pictures',
    fix: 'set data.kind to latents',
  });
}

/**
 * Latents of any of these layouts: shards of `udit encode`; `*_features` and `*_labels` of fast-DiT, U-DiT and DiCo; a
 * folder or zip archive of EDM2 or REPA; pickled pairs of U-ViT; shards of LightningDiT.
 *
 * @throws DataError if there are none, or they are damaged, of several sizes, or do not match their labels
 */
export async function openLatents(path: string, options: LatentsOptions = {}): Promise<LatentData> {
  const open = await openerAt(path);
  if (open === undefined) {
    throw new DataError({
      where: path,
      problem: 'there are no latents of a layout that is known',
      fix: 'give a folder of udit encode, fast-DiT, DiCo, EDM2, REPA, U-ViT or LightningDiT',
    });
  }
  const { store, layout, told, warnings } = await open(options);
  for (const warning of warnings) options.onWarning?.(`${path}: ${warning}`);
  expectPictureSize(path, store, options.imageSize ?? null);
  const samples = latentSamples(store, { flip: options.flip ?? true });
  const empty = countPerClass(samples).filter((pictures) => pictures === 0).length;
  if (empty > 0) {
    options.onWarning?.(`${path}: ${empty} of ${samples.classNames.length} classes have no picture`);
  }
  const parts = [
    `latents of ${layout}`,
    `${plural(samples.length, 'picture')}, classes: ${samples.classNames.length}`,
    store.shape.join('×'),
    told,
    store.hasMirrored ? 'mirrored pictures encoded too' : 'no mirrored pictures',
  ];
  return { samples, recognised: parts.join('; ') };
}

async function openerAt(path: string): Promise<Opener | undefined> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined) return undefined;
  if (!status.isDirectory()) return openerOfFile(path);
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const names = entries
    .map(({ name }) => name)
    .filter((name) => !name.startsWith('.'))
    .sort();
  if (featureFolders(names).length > 0) return (options) => openArrayPairs(path, options);
  if (names.includes(REPA_FOLDER)) return openerAt(join(path, REPA_FOLDER));
  if (names.includes(LIST)) return openerOfList(path, names);
  // Folders are classes of pictures, whatever lies beside them.
  if (entries.some((entry) => entry.isDirectory() && !entry.name.startsWith('.'))) return undefined;
  const shards = names.filter((name) => name.endsWith('.safetensors'));
  if (shards.length > 0 || names.includes(LATENTS_FILE)) {
    return () =>
      openShards(
        path,
        shards.map((name) => join(path, name)),
      );
  }
  if (names.some((name) => name.endsWith('.npy'))) {
    return async (options) => openPickledPairs(await filesOfFolder(path, isTopArray), options);
  }
  return undefined;
}

/** Where REPA keeps latents beside pictures. */
const REPA_FOLDER = 'vae-sd';

function isTopArray(name: string): boolean {
  return name.endsWith('.npy') && !name.includes('/');
}

/** A list of EDM2 may be one of pictures. */
async function openerOfList(path: string, names: readonly string[]): Promise<Opener | undefined> {
  const places = [
    path,
    ...names
      .filter((name) => /^\d+$/.test(name))
      .slice(0, 1)
      .map((name) => join(path, name)),
  ];
  for (const place of places) {
    const files = await readdir(place).catch((): string[] => []);
    if (files.some((name) => name !== LIST && isDistributionFile(name))) {
      return async () => openDistributions(await filesOfFolder(path, isDistributionFile));
    }
  }
  return undefined;
}

async function openerOfFile(path: string): Promise<Opener | undefined> {
  const name = basename(path).toLowerCase();
  if (name.endsWith('.safetensors')) return () => openShards(path, [path]);
  if (!name.endsWith('.zip')) return undefined;
  const files = await filesOfZip(path, isDistributionFile);
  return files.files.has(LIST) && files.files.size > 1 ? () => openDistributions(files) : undefined;
}
