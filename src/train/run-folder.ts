/** @file The folder of a run: where things are, which checkpoints are kept, and whether a run may go on in it. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readSafetensors, removeLeftoverTemporaries, writeFileAtomic } from '../checkpoint/file-node.ts';
import type { SafetensorsFile } from '../checkpoint/safetensors.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import type { TrainConfig } from './train-config.ts';

const CHECKPOINT_NAME = /^step-(\d{7,})\.safetensors$/;

/** Sections of a configuration that decide what is computed; the others may change between sessions of a run. */
const BINDING_SECTIONS = ['model', 'data', 'objective', 'optimizer'] as const;

/** A checkpoint on disk. */
export interface CheckpointFile {
  readonly path: string;
  readonly step: number;
}

export class RunFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder if need be and clears away what a killed process left half-written. */
  static async open(path: string): Promise<RunFolder> {
    const folder = new RunFolder(path);
    try {
      for (const part of [folder.samples, folder.checkpoints]) await mkdir(part, { recursive: true });
    } catch (cause) {
      throw new ConfigError({
        where: path,
        problem: `the run folder cannot be made: ${(cause as Error).message}`,
        fix: 'choose a writable folder with --results-dir',
        cause,
      });
    }
    for (const part of [path, folder.checkpoints]) await removeLeftoverTemporaries(part);
    return folder;
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

  /**
   * Writes the resolved configuration, or checks that the run in this folder was started with the same one.
   *
   * @throws ConfigError naming the first key that differs, with both values
   */
  async bindConfig(config: TrainConfig, version: string): Promise<void> {
    const path = join(this.path, 'config.json');
    const earlier = await readJson(path);
    if (earlier !== undefined) expectSameRun(earlier as TrainConfig, config, this.path);
    const text = `${JSON.stringify({ ...config, uditVersion: version }, null, 2)}\n`;
    await writeFileAtomic(path, [new TextEncoder().encode(text)]);
  }

  /** Checkpoints in order of their steps. */
  async listCheckpoints(): Promise<CheckpointFile[]> {
    return listCheckpoints(this.checkpoints);
  }

  /**
   * The latest checkpoint that can be read; damaged ones are reported and passed over.
   */
  async latestCheckpoint(
    onWarning: (message: string) => void,
  ): Promise<(CheckpointFile & { readonly file: SafetensorsFile }) | undefined> {
    for (const checkpoint of (await this.listCheckpoints()).reverse()) {
      try {
        return { ...checkpoint, file: await readSafetensors(checkpoint.path) };
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        onWarning(`${error.message}\n  the checkpoint before it is used`);
      }
    }
    return undefined;
  }

  /** Removes checkpoints beyond the last `keepLast`, except every `keepEvery`-th step. */
  async prune({
    keepLast,
    keepEvery,
  }: Pick<TrainConfig['logging'], 'keepLast' | 'keepEvery'>): Promise<void> {
    const old = (await this.listCheckpoints()).slice(0, -keepLast);
    for (const { path, step } of old) {
      if (keepEvery === null || step % keepEvery !== 0) await rm(path, { force: true });
    }
  }
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

function stepDigits(step: number): string {
  return String(step).padStart(7, '0');
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError({
      where: path,
      problem: 'is not valid JSON',
      fix: 'restore it, or start another run with --name',
      cause,
    });
  }
}

function expectSameRun(earlier: TrainConfig, now: TrainConfig, folder: string): void {
  const compared = [
    ...BINDING_SECTIONS.map((section) => [section, earlier[section], now[section]] as const),
    ['training', fixedPart(earlier), fixedPart(now)] as const,
  ];
  for (const [section, before, after] of compared) {
    const difference = firstDifference(section, before, after);
    if (difference === undefined) continue;
    throw new ConfigError({
      where: folder,
      problem: `this run was started with ${difference.key} = ${JSON.stringify(difference.before)}, not ${JSON.stringify(difference.after)}`,
      fix: 'leave the option out to continue the run, or start another with --name',
    });
  }
}

/** A constant learning rate may be trained for longer; a cosine is drawn for a number of steps. */
function fixedPart({ training, optimizer }: TrainConfig): object {
  const { steps, ...rest } = training;
  return optimizer.schedule === 'cosine' ? { ...rest, steps } : rest;
}

function firstDifference(
  key: string,
  before: unknown,
  after: unknown,
): { readonly key: string; readonly before: unknown; readonly after: unknown } | undefined {
  if (isDeepStrictEqual(before, after)) return undefined;
  if (isRecord(before) && isRecord(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const difference = firstDifference(`${key}.${name}`, before[name], after[name]);
      if (difference !== undefined) return difference;
    }
  }
  return { key, before, after };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
