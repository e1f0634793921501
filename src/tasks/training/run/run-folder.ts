/** @file The folder of a run: where things are, and which checkpoints are kept. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '../../../core/errors.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import type { OpenTensorFile } from '../../../formats/tensor-file.ts';
import { removeLeftoverTemporaries } from '../../../host/files/atomic-write-node.ts';
import type { HeldLock } from '../../../host/files/lock-file-node.ts';
import { type FolderFailure, makeFolder } from '../../../host/files/make-folder-node.ts';
import { type CheckpointFile, listCheckpoints } from '../../../models/run-checkpoints-node.ts';
import type { TrainConfig } from '../config/train-config.ts';

/** When the folder of a run cannot be made. */
export const UNWRITABLE: FolderFailure = {
  Failure: ConfigError,
  fix: 'choose a writable folder with --results-dir',
};

/** When its disk has no room for a checkpoint. */
export const NO_ROOM: FolderFailure = { ...UNWRITABLE, Failure: CheckpointError };

export class RunFolder {
  readonly path: string;
  private readonly lock: HeldLock | undefined;

  private constructor(path: string, lock: HeldLock | undefined) {
    this.path = path;
    this.lock = lock;
  }

  /**
   * Makes the folder if need be and clears away what a killed process left half-written.
   *
   * @param lock - of the folder, where others may want it
   */
  static async open(path: string, lock?: HeldLock): Promise<RunFolder> {
    const folder = new RunFolder(path, lock);
    const parts = [folder.samples, folder.checkpoints];
    for (const part of parts) await makeFolder(part, UNWRITABLE);
    for (const part of [path, ...parts]) await removeLeftoverTemporaries(part);
    return folder;
  }

  /** @throws ConfigError if another process has taken the folder, as it may while this one is suspended */
  async expectHeld(): Promise<void> {
    await this.lock?.expectHeld();
  }

  get samples(): string {
    return join(this.path, 'samples');
  }

  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  get stats(): string {
    return join(this.path, 'stats.jsonl');
  }

  samplesAt(step: number): string {
    return join(this.samples, `step-${stepDigits(step)}.png`);
  }

  checkpointAt(step: number): string {
    return join(this.checkpoints, `step-${stepDigits(step)}.safetensors`);
  }

  /** Checkpoints in order of their steps. */
  async listCheckpoints(): Promise<CheckpointFile[]> {
    return listCheckpoints(this.checkpoints);
  }

  /**
   * The latest checkpoint that can be read, to be closed after use; damaged ones are reported and passed over.
   */
  async latestCheckpoint(
    onWarning: (message: string) => void,
  ): Promise<(CheckpointFile & { readonly file: OpenTensorFile }) | undefined> {
    for (const checkpoint of (await this.listCheckpoints()).reverse()) {
      try {
        return { ...checkpoint, file: await openTensorFile(checkpoint.path) };
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        onWarning(`${error.where}: ${error.problem}; an earlier checkpoint is used, if there is one`);
      }
    }
    return undefined;
  }

  /**
   * Removes checkpoints beyond the last `keepLast` up to `step`, except every `keepEvery`-th step and the best one. Those of later steps
   * are damaged ones that this run passed over: they must not crowd out the good ones, and are written anew in time.
   */
  async prune(
    step: number,
    { keepLast, keepEvery }: Pick<TrainConfig['logging'], 'keepLast' | 'keepEvery'>,
    best?: number,
  ): Promise<void> {
    const reached = (await this.listCheckpoints()).filter((checkpoint) => checkpoint.step <= step);
    const old = reached.slice(0, -keepLast);
    for (const checkpoint of old) {
      const isMilestone = keepEvery !== null && checkpoint.step % keepEvery === 0;
      if (!isMilestone && checkpoint.step !== best) await rm(checkpoint.path, { force: true });
    }
  }
}

function stepDigits(step: number): string {
  return String(step).padStart(7, '0');
}
