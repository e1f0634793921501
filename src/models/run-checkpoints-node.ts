/** @file The checkpoints that a run keeps in a folder. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const CHECKPOINT_NAME = /^step-(\d{7,})\.safetensors$/;

/** A checkpoint on disk. */
export interface CheckpointFile {
  readonly path: string;
  readonly step: number;
}

/** Checkpoints in a folder in order of their steps; none if there is no such folder. */
export async function listCheckpoints(folder: string): Promise<CheckpointFile[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names
    .flatMap((name) => {
      const match = CHECKPOINT_NAME.exec(name);
      return match === null ? [] : [{ path: join(folder, name), step: Number(match[1]) }];
    })
    .sort((a, b) => a.step - b.step);
}
