/** @file Configurations on the command line: a JSON file, and single keys as `--set key=value`. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { parseJson } from '../host/files/read-json-node.ts';
import { type ConfigLayer, isLayer, layerOf } from '../tasks/training/config/config-layer.ts';
import { withEarlierDefaults } from '../tasks/training/run/run-config.ts';

/**
 * @param path - of a file, or of the folder of a run
 * @throws ConfigError if there is no JSON object in it
 */
export async function readConfigFile(path: string): Promise<ConfigLayer> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  // A run's config.json can be given as it is, and a recipe with what it says about itself.
  const {
    $schema: _,
    uditVersion,
    description: __,
    ...layer
  } = await readJsonObject(isFolder ? join(path, 'config.json') : path);
  return uditVersion === undefined ? layer : withEarlierDefaults(layer);
}

/** @throws ConfigError if there is none in it */
export async function readJsonObject(path: string): Promise<ConfigLayer> {
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new ConfigError({
      where: path,
      problem: `cannot be read: ${cause.message}`,
      fix: 'check the path',
      cause,
    });
  });
  let config: unknown;
  try {
    config = parseJson(text);
  } catch (cause) {
    throw new ConfigError({ where: path, problem: `is not valid JSON: ${(cause as Error).message}`, cause });
  }
  if (!isLayer(config)) {
    const fix = 'write an object such as {"training": {"steps": 1000}}';
    throw new ConfigError({ where: path, problem: 'is not a JSON object', fix });
  }
  return config;
}

/** `optimizer.clipNorm=1`: a value that is no JSON is text. */
export function parseAssignment(assignment: string): ConfigLayer {
  const [, key, text] = /^([^=]+)=(.*)$/s.exec(assignment) ?? [];
  if (key === undefined || text === undefined) {
    throw new ConfigError({
      where: '--set',
      problem: `"${assignment}" is not of the form key=value`,
      fix: 'write it as in --set optimizer.clipNorm=1',
    });
  }
  try {
    return layerOf(key, JSON.parse(text));
  } catch {
    return layerOf(key, text);
  }
}

/** For a flag that may be given several times. */
export function collectAssignments(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}
