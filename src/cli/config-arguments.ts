/** @file Configurations on the command line: a JSON file, and single keys as `--set key=value`. */
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../core/errors.ts';
import { describeCertainly } from '../formats/foreign-file.ts';
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

/** Recipes that come with the package; the same path from `src/` and from `dist/`. */
const RECIPES = fileURLToPath(new URL('../../recipes/', import.meta.url));

/** A recipe of the package is meant by its bare name, such as `laptop-table-1`, where no such file is. */
async function pathOf(path: string): Promise<string> {
  const recipe = join(RECIPES, `${basename(path, '.json')}.json`);
  const isThere = async (file: string) => (await stat(file).catch(() => undefined)) !== undefined;
  return basename(path) === path && !(await isThere(path)) && (await isThere(recipe)) ? recipe : path;
}

/**
 * @param path - of a file, or the name of a recipe of the package
 * @throws ConfigError if there is none in it
 */
export async function readJsonObject(path: string): Promise<ConfigLayer> {
  const bytes = await readFile(await pathOf(path)).catch((cause: Error) => {
    throw new ConfigError({
      where: path,
      problem: `cannot be read: ${cause.message}`,
      fix: 'check the path',
      cause,
    });
  });
  const foreign = describeCertainly(bytes);
  if (foreign !== undefined) {
    throw new ConfigError({
      where: path,
      problem: `this is not JSON but ${foreign.kind}`,
      fix: 'give a text with a JSON object',
    });
  }
  const text = bytes.toString('utf8');
  let config: unknown;
  try {
    config = parseJson(text);
  } catch (cause) {
    throw invalidJson(path, text, cause as Error);
  }
  expectKeysOnce(path, text);
  if (!isLayer(config)) {
    const fix = 'write an object such as {"training": {"steps": 1000}}';
    throw new ConfigError({ where: path, problem: 'is not a JSON object', fix });
  }
  return config;
}

/** Strings first, so that what looks like another token inside them is passed over. */
const STRING = '"(?:[^"\\\\]|\\\\.)*"';

function invalidJson(path: string, text: string, cause: Error): ConfigError {
  const withoutStrings = text.replace(new RegExp(STRING, 'g'), (string) => ' '.repeat(string.length));
  const comment = /\/[/*]/.exec(withoutStrings);
  const comma = /,(?=\s*[}\]])/.exec(withoutStrings);
  const at =
    comment?.index ?? comma?.index ?? Number(/position (\d+)/.exec(cause.message)?.[1] ?? text.length);
  const lines = text.slice(0, at).split('\n');
  const place = `line ${lines.length}, column ${lines.at(-1)!.length + 1}`;
  const found = comment ? 'a comment' : comma ? 'a comma before a closing bracket' : cause.message;
  return new ConfigError({
    where: path,
    problem: `is not valid JSON: ${place}: ${found}`,
    fix: comment ? 'remove it: JSON has no comments' : comma ? 'remove it' : 'mend the file there',
    cause,
  });
}

/** @param text - valid JSON, in which the last of two equal keys would win unnoticed */
function expectKeysOnce(path: string, text: string): void {
  const open: Set<string>[] = [];
  for (const [token, key] of text.matchAll(new RegExp(`(${STRING})\\s*:|${STRING}|[{}]`, 'g'))) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (key !== undefined) {
      const name: string = JSON.parse(key);
      if (open.at(-1)!.has(name)) {
        throw new ConfigError({
          where: path,
          problem: `the key ${key} stands twice in one object`,
          fix: 'keep one of them',
        });
      }
      open.at(-1)!.add(name);
    }
  }
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
