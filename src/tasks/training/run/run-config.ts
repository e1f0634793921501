/** @file The configuration of a run in its folder: what a session takes from it, and what it may change. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { uditCommand } from '../../../core/command.ts';
import { ConfigError } from '../../../core/errors.ts';
import { writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import { parseJson } from '../../../host/files/read-json-node.ts';
import { systemErrorCode } from '../../../host/files/write-error-node.ts';
import { listCheckpoints } from '../../../models/run-checkpoints-node.ts';
import { PRESETS } from '../../../networks/presets.ts';
import { type ConfigLayer, isLayer, overlay } from '../config/config-layer.ts';
import { withDataKind, withoutIdleOptions } from '../config/earlier-data.ts';
import { withAverages } from '../config/earlier-ema.ts';
import { OF_THE_RUN } from '../config/model-for-data.ts';
import { presetOf, type RunConfig, resolveRunConfig } from '../config/train-config.ts';

/** Data may lie elsewhere by now; `expectSameData` compares what they are. */
const PLACE = 'data.path';
const STEPS = 'training.steps';
/** How a batch goes through memory changes no more than roundings. */
const MEMORY_OPTIONS = ['training.microBatch', 'training.recompute'];

/** What runs did that were started before there were these options. */
const EARLIER_DEFAULTS: ConfigLayer = {
  optimizer: { kind: 'adamw' },
  training: { initFrom: null, microBatch: null, recompute: false },
};
const EARLIER_DATA: ConfigLayer = { balanceClasses: false };
const EARLIER_FOLDER: ConfigLayer = {
  background: 'drop',
  orientation: 'ignore',
  // Others were not looked for, or could not be read.
  endings: ['.jpg', '.jpeg', '.png', '.tif', '.tiff', '.webp'],
};

/** The configuration of a run as a version wrote it that may have had fewer options, with what the run did for them. */
export function withEarlierDefaults(config: ConfigLayer): ConfigLayer {
  const named = withDataKind(config);
  const kind = isLayer(named.data) ? named.data.kind : undefined;
  const data = { ...EARLIER_DATA, ...(kind === 'folder' ? EARLIER_FOLDER : {}) };
  // The first version had no latents.
  const defaults = kind === 'latents' ? EARLIER_DEFAULTS : { ...EARLIER_DEFAULTS, data };
  return withAverages(withoutIdleOptions(overlay(defaults, named)));
}

/**
 * What is the default in this run's folder: an option whose default has changed keeps the value with which the run was
 * started. The lowest layer of the run's configuration; an empty one where no run has been started.
 */
export async function defaultsOfRun(runPath: string): Promise<ConfigLayer> {
  const data = (await configOfRun(runPath))?.data;
  if (!isLayer(data) || data.kind !== 'folder') return {};
  return { data: Object.fromEntries(Object.keys(EARLIER_FOLDER).map((name) => [name, data[name]])) };
}

/** What the last session of a run was configured with; undefined if there was none. */
export function configOfRun(runPath: string): Promise<ConfigLayer | undefined> {
  return readConfig(configIn(runPath));
}

/**
 * The configuration of a session: options that `layers` do not give are those of the run, where it has been started.
 *
 * @throws ConfigError for an option that cannot be, and for another model than that of a run with checkpoints
 */
export async function configForRun(runPath: string, layers: readonly ConfigLayer[]): Promise<RunConfig> {
  const earlier = await configOfRun(runPath);
  if (earlier === undefined) return resolveRunConfig(layers);
  const [before, after] = [presetOf([earlier]), presetOf(layers)];
  // Options of another family would be unknown to the run's.
  if (after === undefined || after === before) return resolveRunConfig([earlier, ...layers]);
  if (await hasCheckpoints(runPath)) throw otherRun(runPath, { key: 'model.preset', before, after });
  return resolveRunConfig(layers);
}

/** An option that a session changes. */
export interface ChangedOption {
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}

export interface ChangesAllowed {
  /** A schedule may be drawn anew for another number of steps. Default: false. */
  readonly extend?: boolean | undefined;
}

/**
 * What a session with `config` changes about its run; nothing if it begins one.
 *
 * @throws ConfigError naming the first option that must stay, with both values
 */
export async function changesToRun(
  runPath: string,
  config: RunConfig,
  { extend = false }: ChangesAllowed = {},
): Promise<ChangedOption[]> {
  const earlier = await configOfRun(runPath);
  // What has no checkpoint begins anew.
  if (earlier === undefined || !(await hasCheckpoints(runPath))) return [];
  const changes = differences('', withPreset(earlier), withPreset(config));
  const fixed = changes.find(({ key }) => isFixed(key, config, extend));
  // A place that has changed is told with the data.
  if (fixed === undefined) return changes.filter(({ key, before }) => before !== undefined && key !== PLACE);
  throw fixed.key === STEPS ? otherSchedule(runPath, fixed) : otherRun(runPath, fixed);
}

/**
 * Writes the configuration of a session into the folder of its run.
 *
 * @returns what it changes
 * @throws ConfigError as {@link changesToRun} does
 */
export async function bindConfig(
  runPath: string,
  config: RunConfig,
  version: string,
  allowed: ChangesAllowed = {},
): Promise<ChangedOption[]> {
  const changes = await changesToRun(runPath, config, allowed);
  const text = `${JSON.stringify({ ...config, uditVersion: version }, null, 2)}\n`;
  await writeFileAtomic(configIn(runPath), [new TextEncoder().encode(text)]);
  return changes;
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
  const { uditVersion: _, ...options } = config;
  return withEarlierDefaults(options);
}

/** With the options that are the preset's stated, too: they may be given, or left out. */
function withPreset(config: ConfigLayer): ConfigLayer {
  const { model } = config;
  const preset = isLayer(model) ? PRESETS[String(model.preset)] : undefined;
  if (preset === undefined) return config;
  const usual = Object.entries(preset.config).filter(([option]) => !OF_THE_RUN.includes(option));
  return { ...config, model: { ...Object.fromEntries(usual), ...(model as ConfigLayer) } };
}

async function hasCheckpoints(runPath: string): Promise<boolean> {
  return (await listCheckpoints(join(runPath, 'checkpoints'))).length > 0;
}

function isFixed(key: string, { optimizer }: RunConfig, extend: boolean): boolean {
  // A constant learning rate may be trained for longer; a cosine is drawn for a number of steps.
  if (key === STEPS) return optimizer.schedule === 'cosine' && !extend;
  return key !== PLACE && !MEMORY_OPTIONS.includes(key) && !key.startsWith('logging.');
}

function otherRun(runPath: string, { key, before, after }: ChangedOption): ConfigError {
  return new ConfigError({
    where: runPath,
    problem: `this run was started with ${key} = ${stated(before)}, not ${stated(after)}`,
    fix: `leave the option out, as in ${uditCommand('train', '--resume', runPath)}, or start another run with --name`,
  });
}

function otherSchedule(runPath: string, { before, after }: ChangedOption): ConfigError {
  return new ConfigError({
    where: runPath,
    problem: `this run was started with training.steps = ${stated(before)}, not ${stated(after)}, and its learning rate falls as a cosine over these steps`,
    fix: `add --extend, which draws the cosine over ${stated(after)} steps from here on, or leave --steps out`,
  });
}

function stated(value: unknown): string {
  return value === undefined ? '(nothing)' : JSON.stringify(value);
}

/** The options in which two configurations differ; lists are compared as wholes. */
function differences(key: string, before: unknown, after: unknown): ChangedOption[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isLayer(before) || !isLayer(after)) return [{ key, before, after }];
  const names = new Set([...Object.keys(after), ...Object.keys(before)]);
  return [...names].flatMap((name) =>
    differences(key === '' ? name : `${key}.${name}`, before[name], after[name]),
  );
}
