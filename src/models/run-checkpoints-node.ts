/** @file The checkpoints that a run keeps in a folder. */
import type { Dirent } from 'node:fs';
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
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [] as Dirent[]);
  return entries
    .flatMap((entry) => {
      const { name } = entry;
      const match = CHECKPOINT_NAME.exec(name);
      return match === null || entry.isDirectory()
        ? []
        : [{ path: join(folder, name), step: Number(match[1]) }];
    })
    .sort((a, b) => a.step - b.step);
}
