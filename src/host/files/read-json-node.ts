/** @file JSON from a file. */
import { readFile } from 'node:fs/promises';

/** @throws what `node:fs` and `JSON.parse` throw */
export async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'));
}
