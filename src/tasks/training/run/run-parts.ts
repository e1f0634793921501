/** @file What a run goes on from: nothing but its training writes there. */
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isSameFile } from '../../../host/files/same-file-node.ts';
import { listCheckpoints } from '../../../models/run-checkpoints-node.ts';

/** Files in the folder of a run that it needs to go on, beside its checkpoints. */
const NEEDED_FILES = ['config.json', 'data.json', 'stats.jsonl'];

/**
 * The part of a run that writing to `path` would change: the folder of its checkpoints if `path` is or lies in it, its
 * configuration, the list of its data or its measurements. Undefined where there is none. Links are followed.
 */
export async function runPartAt(path: string): Promise<string | undefined> {
  const full = resolve(path);
  const places = new Set([full, await realPlace(full)].flatMap(withAncestors));
  for (const place of places) if (await isCheckpointFolder(place)) return place;
  const folder = dirname(full);
  if (!(await isCheckpointFolder(join(folder, 'checkpoints')))) return undefined;
  for (const needed of NEEDED_FILES.map((name) => join(folder, name))) {
    if (await isSameFile(full, needed)) return needed;
  }
  return undefined;
}

/** Other programs have such folders too: one of a run holds its checkpoints, or is beside its configuration. */
async function isCheckpointFolder(path: string): Promise<boolean> {
  const run = dirname(path);
  if (!(await isSameFile(path, join(run, 'checkpoints')))) return false;
  if ((await listCheckpoints(path)).length > 0) return true;
  const config = await readFile(join(run, 'config.json'), 'utf8').catch(() => '');
  return config.includes('"uditVersion"');
}

function withAncestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...withAncestors(parent)];
}

/** Where a path leads that need not be there yet. */
async function realPlace(path: string): Promise<string> {
  return realpath(path).catch(async () => {
    const parent = dirname(path);
    return parent === path ? path : join(await realPlace(parent), basename(path));
  });
}
