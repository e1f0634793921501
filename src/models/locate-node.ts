/** @file Where the checkpoint is that someone means. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '../core/errors.ts';
import { findWeights } from '../formats/parts-node.ts';
import { bundledFile } from './bundled-files-node.ts';
import { locatePublished } from './hub/fetch-weights-node.ts';
import { listCheckpoints } from './run-checkpoints-node.ts';

/**
 * @param argument - a run folder, its `checkpoints` folder, a folder with weights as models are published, a file, or the name of fetched weights or of a bundled network
 * @throws CheckpointError if there is none in the folder
 */
export async function findCheckpointFile(argument: string): Promise<string> {
  const found = statSync(argument, { throwIfNoEntry: false });
  // A path that does not exist is reported by the reader of files, which knows what is beside it.
  if (found === undefined) {
    return bundledFile(argument) ?? (await locatePublished(argument, 'denoiser')) ?? argument;
  }
  if (!found.isDirectory()) return argument;
  for (const folder of [join(argument, 'checkpoints'), argument]) {
    const latest = (await listCheckpoints(folder)).at(-1);
    if (latest !== undefined) return latest.path;
  }
  // A pipeline of diffusers has its parts in folders of their own.
  const published = (await findWeights(argument)) ?? (await findWeights(join(argument, 'transformer')));
  if (published !== undefined) return published;
  throw new CheckpointError({
    where: argument,
    problem: 'there is no checkpoint in this folder: checkpoints/step-….safetensors is looked for',
    fix: 'train the run until it has written one, or give a .safetensors or .pt file',
  });
}
