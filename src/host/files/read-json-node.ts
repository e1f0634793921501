/** @file JSON from a file. */
import { readFile } from 'node:fs/promises';

/** @throws what `node:fs` and `JSON.parse` throw */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readFile(path, 'utf8'));
}

/** Editors of Windows put a byte order mark before the text. */
export function parseJson(text: string): unknown {
  return JSON.parse(text.replace(/^\uFEFF/, ''));
}
