/** @file Names of runs, which are those of their folders: given by the user, or made from model and data. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ConfigError } from '../../../core/errors.ts';
import { type DataConfig, dataName } from '../../../data/datasets/data-config.ts';
import { isLayer } from '../config/config-layer.ts';
import type { RunConfig } from '../config/train-config.ts';
import { configOfRun } from './run-config.ts';

/** As file systems have it. */
const LONGEST_NAME_BYTES = 255;

/** Names of devices, which Windows knows in every folder. */
const DEVICES = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * Checks a name that a user gives to a run.
 *
 * @throws ConfigError if some system cannot have a folder of this name, or means another one by it
 */
export function expectRunName(name: string): string {
  const problem = problemOf(name);
  if (problem === undefined) return name;
  throw new ConfigError({
    where: '--name',
    problem: `${JSON.stringify(name)} ${problem}`,
    fix: 'use a name such as pets-2; --results-dir chooses the folder that runs lie in',
  });
}

function problemOf(name: string): string | undefined {
  if (name.trim() === '') return 'is empty';
  if (name === '.' || name === '..') return 'is the name of an existing folder';
  const [bad] = /[/\\:*?"<>|\p{Cc}]/u.exec(name) ?? [];
  if (bad !== undefined) return `has ${JSON.stringify(bad)} in it, which a folder's name cannot have`;
  if (/^\s|[\s.]$/.test(name)) return 'begins with a space, or ends with one or with a dot';
  if (DEVICES.test(name)) return 'is the name of a device on Windows';
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > LONGEST_NAME_BYTES) return `has ${bytes} bytes; a name has at most ${LONGEST_NAME_BYTES}`;
  return undefined;
}

/**
 * The name of a run that is given none, such as `u-dit-xs-emoji`: that of the run on these data, if there is one, else one
 * that no run has. The same data have the same name, also after they have moved; two folders never share one.
 */
export async function defaultRunName({ model, data }: RunConfig, resultsDir: string): Promise<string> {
  const [preset, place] = [model.preset, basename(dataName(data))];
  const name = `${slug(preset)}-${slug(place)}`.replace(/-$/, '');
  const other = `${name}-${createHash('sha256').update(placeOf(data)).digest('hex').slice(0, 6)}`;
  const earlier = earlierName(preset, place);
  for (const candidate of [name, earlier]) {
    if (await isRunOn(data, join(resultsDir, candidate))) return candidate;
  }
  const isTaken = (await configOfRun(join(resultsDir, name))) !== undefined;
  return isTaken || slug(place) === '' ? other : name;
}

/** Letters and digits of any script; the rest are hyphens. */
function slug(text: string): string {
  const words = text.normalize('NFC').toLowerCase();
  return words.replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, '-').replaceAll(/^-+|-+$/g, '');
}

/** In 0.1.0, which kept English letters only. */
function earlierName(preset: string, place: string): string {
  return `${preset}-${place}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

/** Is a run in this folder that is trained on these data, as far as their place tells? */
async function isRunOn(data: DataConfig, runPath: string): Promise<boolean> {
  const earlier = (await configOfRun(runPath))?.data;
  if (!isLayer(earlier) || earlier.kind !== data.kind) return false;
  if (typeof earlier.path !== 'string') return true;
  const before = realPlace(earlier.path);
  // Data that are not there any more have moved.
  return before === undefined || before === placeOf(data);
}

function placeOf(data: DataConfig): string {
  return realPlace(dataName(data)) ?? resolve(dataName(data));
}

function realPlace(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
