/** @file The folder of a run: where things are, which checkpoints are kept, and whether a run may go on in it. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { CheckpointError, ConfigError } from '../../../core/errors.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import type { OpenTensorFile } from '../../../formats/tensor-file.ts';
import { removeLeftoverTemporaries, writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import type { HeldLock } from '../../../host/files/lock-file-node.ts';
import { type FolderFailure, makeFolder } from '../../../host/files/make-folder-node.ts';
import { parseJson } from '../../../host/files/read-json-node.ts';
import { systemErrorCode } from '../../../host/files/write-error-node.ts';
import { type CheckpointFile, listCheckpoints } from '../../../models/run-checkpoints-node.ts';
import { type ConfigLayer, isLayer, layerOf, overlay } from '../config/config-layer.ts';
import { withDataKind, withoutIdleOptions } from '../config/earlier-data.ts';
import { withAverages } from '../config/earlier-ema.ts';
import type { TrainConfig } from '../config/train-config.ts';

/** Sections of a configuration that decide what is computed; the others may change between sessions of a run. */
const BINDING_SECTIONS = ['model', 'data', 'objective', 'optimizer', 'averages'] as const;

/** What runs did that were started before there were these options. */
const EARLIER_DEFAULTS: ConfigLayer = {
  data: { balanceClasses: false, background: 'drop' },
  optimizer: { kind: 'adamw' },
  training: { initFrom: null },
};

/** The configuration of a run as a version wrote it that may have had fewer options, with what the run did for them. */
export function withEarlierDefaults(config: ConfigLayer): ConfigLayer {
  return withAverages(withoutIdleOptions(withDataKind(overlay(EARLIER_DEFAULTS, config))));
}

/**
 * What is the default in this run's folder: an option whose default has changed keeps the value with which the run was
 * started. The lowest layer of the run's configuration; an empty one where no run has been started.
 */
export async function defaultsOfRun(runPath: string): Promise<ConfigLayer> {
  const data = (await configOfRun(runPath))?.data;
  return isLayer(data) && data.kind === 'folder' ? layerOf('data.background', data.background) : {};
}

/** What the last session of a run was configured with; undefined if there was none. */
export function configOfRun(runPath: string): Promise<ConfigLayer | undefined> {
  return readConfig(configIn(runPath));
}

/** When the folder of a run cannot be made. */
export const UNWRITABLE: FolderFailure = {
  Failure: ConfigError,
  fix: 'choose a writable folder with --results-dir',
};

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

  /**
   * Writes the resolved configuration, or checks that the run in this folder was started with the same one.
   *
   * @throws ConfigError naming the first key that differs, with both values
   */
  async bindConfig(config: TrainConfig, version: string): Promise<void> {
    const path = configIn(this.path);
    const earlier = await readConfig(path);
    if (earlier !== undefined) {
      const hasBegun = (await this.listCheckpoints()).length > 0;
      // Weights that could not be read or did not fit have begun nothing: others may take their place.
      expectSameRun(hasBegun ? earlier : withInitFrom(earlier, config), config, this.path);
    }
    const text = `${JSON.stringify({ ...config, uditVersion: version }, null, 2)}\n`;
    await writeFileAtomic(path, [new TextEncoder().encode(text)]);
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
   * Removes checkpoints beyond the last `keepLast` up to `step`, except every `keepEvery`-th step. Those of later steps
   * are damaged ones that this run passed over: they must not crowd out the good ones, and are written anew in time.
   */
  async prune(
    step: number,
    { keepLast, keepEvery }: Pick<TrainConfig['logging'], 'keepLast' | 'keepEvery'>,
  ): Promise<void> {
    const reached = (await this.listCheckpoints()).filter((checkpoint) => checkpoint.step <= step);
    const old = reached.slice(0, -keepLast);
    for (const checkpoint of old) {
      const isMilestone = keepEvery !== null && checkpoint.step % keepEvery === 0;
      if (!isMilestone) await rm(checkpoint.path, { force: true });
    }
  }
}

function stepDigits(step: number): string {
  return String(step).padStart(7, '0');
}

function configIn(runPath: string): string {
  return join(runPath, 'config.json');
}

/** The configuration of an earlier session; undefined if there was none. */
async function readConfig(path: string): Promise<ConfigLayer | undefined> {
  const failure = (problem: string, cause?: unknown) =>
    new ConfigError({ where: path, problem, fix: 'restore it, or start another run with --name', cause });
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const code = systemErrorCode(cause);
    // Where a file is in the place of the folder, making the folder says so.
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw failure(`cannot be read (${code})`, cause);
  }
  let config: unknown;
  try {
    config = parseJson(text);
  } catch (cause) {
    throw failure('is not valid JSON', cause);
  }
  if (!isLayer(config)) throw failure('is not the configuration of a run');
  return withEarlierDefaults(config);
}

function expectSameRun(earlier: ConfigLayer, now: TrainConfig, folder: string): void {
  const compared = [
    ...BINDING_SECTIONS.map(
      (section) =>
        [section, withoutPlace(section, earlier[section]), withoutPlace(section, now[section])] as const,
    ),
    ['training', fixedPart(earlier.training, now), fixedPart(now.training, now)] as const,
  ];
  for (const [section, before, after] of compared) {
    const difference = firstDifference(section, before, after);
    if (difference === undefined) continue;
    throw new ConfigError({
      where: folder,
      problem: `this run was started with ${difference.key} = ${stated(difference.before)}, not ${stated(difference.after)}`,
      fix: 'leave the option out to continue the run, or start another with --name',
    });
  }
}

function withInitFrom(earlier: ConfigLayer, { training: { initFrom } }: TrainConfig): ConfigLayer {
  return isLayer(earlier.training) ? { ...earlier, training: { ...earlier.training, initFrom } } : earlier;
}

/** Data may lie elsewhere by now; `expectSameData` compares what they are. */
function withoutPlace(section: string, values: unknown): unknown {
  if (section !== 'data' || !isLayer(values)) return values;
  const { path: _, ...rest } = values;
  return rest;
}

/** A constant learning rate may be trained for longer; a cosine is drawn for a number of steps. */
function fixedPart(training: unknown, { optimizer }: TrainConfig): unknown {
  if (!isLayer(training)) return training;
  if (optimizer.schedule === 'cosine') return training;
  const { steps: _, ...rest } = training;
  return rest;
}

function stated(value: unknown): string {
  return value === undefined ? '(nothing)' : JSON.stringify(value);
}

function firstDifference(
  key: string,
  before: unknown,
  after: unknown,
): { readonly key: string; readonly before: unknown; readonly after: unknown } | undefined {
  if (isDeepStrictEqual(before, after)) return undefined;
  if (isLayer(before) && isLayer(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const difference = firstDifference(`${key}.${name}`, before[name], after[name]);
      if (difference !== undefined) return difference;
    }
  }
  return { key, before, after };
}
