/** @file The checkpoint that a command's argument means: a file, the latest of a run, or the bundled model. */
import { existsSync } from 'node:fs';
import { CheckpointError } from '../core/errors.ts';
import { readTensors } from '../core/tensor-source.ts';
import { openTensorFile } from '../formats/file-node.ts';
import { Denoiser } from '../networks/denoisers/denoiser.ts';
import type { Role } from '../networks/family.ts';
import { openAutoencoderFile } from './autoencoder-file-node.ts';
import { bundledFile } from './bundled-files-node.ts';
import { findCheckpointFile } from './locate-node.ts';
import {
  type FoundNetwork,
  findNetwork,
  type ModelRequest,
  type NetworkRequest,
  roleOf,
} from './open-model.ts';
import type { SavedNetwork, WeightSet, WeightSource } from './saved-model.ts';
import { ownSets } from './weight-sets.ts';

/** The pretrained model that is meant where none is named. */
export const BUNDLED_CHECKPOINT = bundledFile('u-dit-xs-emoji');

/**
 * @param argument - a run folder, its `checkpoints` folder, a file, the name of fetched weights, or nothing for `bundled`
 * @throws CheckpointError if there is none
 */
export async function locateCheckpoint(
  argument: string | undefined,
  bundled = BUNDLED_CHECKPOINT,
): Promise<string> {
  if (argument === undefined) {
    if (existsSync(bundled)) return bundled;
    throw new CheckpointError({
      where: 'bundled model',
      problem: `${bundled} is missing`,
      fix: 'give a run folder or a checkpoint, such as one that udit start trains',
    });
  }
  return findCheckpointFile(argument);
}

/** A checkpoint whose weights are read when they are needed. To be closed when no more are. */
export interface OpenNetwork<R extends Role> extends FoundNetwork<R> {
  close(): Promise<void>;
}

export type OpenCheckpoint = OpenNetwork<'denoiser'>;

/** A network of whatever role, which its card tells. */
export type OpenAny = { readonly [R in Role]: OpenNetwork<R> }[Role];

/**
 * The model in a checkpoint of any origin, with the weights asked for; by default the moving average where there is one.
 *
 * @throws CheckpointError if it cannot be read, does not fit its model, or has other weights only
 * @throws ConfigError if `request` tells it what it says itself
 */
export async function findCheckpoint<R extends Role = 'denoiser'>(
  path: string,
  request: NetworkRequest<R> = {},
): Promise<OpenNetwork<R>> {
  const file = await (request.role === 'autoencoder' ? openAutoencoderFile(path) : openTensorFile(path));
  try {
    const found = findNetwork<R>(file, path, request);
    if (request.weights !== undefined && found.source !== request.weights) {
      throw otherWeights(path, ownSets([...file.infos.keys()], file.metadata), found.source, request.weights);
    }
    return { ...found, close: file.close };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export function isDenoiser(saved: OpenAny): saved is OpenCheckpoint {
  return saved.network instanceof Denoiser;
}

/** The same for a network of any role. */
export async function findAnyCheckpoint(path: string, request: ModelRequest = {}): Promise<OpenAny> {
  const file = await openAutoencoderFile(path);
  const role = roleOf(file);
  await file.close();
  return (await findCheckpoint(path, { ...request, role })) as OpenAny;
}

/** The same with all weights in memory. */
export async function openCheckpoint<R extends Role = 'denoiser'>(
  path: string,
  request: NetworkRequest<R> = {},
): Promise<SavedNetwork<R>> {
  const { close, ...found } = await findCheckpoint<R>(path, request);
  try {
    return { ...found, weights: await readTensors(found.weights) };
  } finally {
    await close();
  }
}

function otherWeights(
  path: string,
  sets: readonly WeightSet[],
  source: WeightSource,
  wanted: WeightSet,
): CheckpointError {
  const isNamed = source !== 'unnamed';
  const held = sets.length > 1 ? `weights ${sets.join(', ')}` : `${source} weights only`;
  return new CheckpointError({
    where: path,
    problem: `it has ${isNamed ? held : 'one set of weights, without a name'}, but --weights ${wanted} is requested`,
    fix: isNamed ? `use --weights ${source}` : 'leave --weights out',
  });
}
