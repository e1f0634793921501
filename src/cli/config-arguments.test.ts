import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { overlay } from '../tasks/training/config/config-layer.ts';
import { parseAssignment, readJsonObject } from './config-arguments.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-json-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(text: string | Uint8Array): Promise<unknown> {
  const path = join(folder, 'file.json');
  await writeFile(path, text);
  return readJsonObject(path).catch((error: Error) => error.message.replaceAll(path, 'FILE'));
}

test('a byte order mark, and text that looks like comments or keys, change nothing', async () => {
  expect(await read('\uFEFF{"a": {"b": "a // b, }"}, "b": ["\\"a\\":", {"b": 1}, {"b": 2}]}')).toEqual({
    a: { b: 'a // b, }' },
    b: ['"a":', { b: 1 }, { b: 2 }],
  });
});

test('what no JSON has is named with its place', async () => {
  expect(await read('{\n  // steps\n  "a": 1}')).toMatchInlineSnapshot(`
    "ConfigError: FILE: is not valid JSON: line 2, column 3: a comment
      fix: remove it: JSON has no comments"
  `);
  expect(await read('{"a": [1, 2,\n],\n"b": "x"}')).toMatchInlineSnapshot(`
    "ConfigError: FILE: is not valid JSON: line 1, column 12: a comma before a closing bracket
      fix: remove it"
  `);
  expect(await read('{"a": 1')).toContain('FILE: is not valid JSON: line 1, column 8: ');
});

test('a picture is called one', async () => {
  expect(await read(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'))).toMatchInlineSnapshot(`
    "ConfigError: FILE: this is not JSON but a PNG picture
      fix: give a text with a JSON object"
  `);
});

test('a key that stands twice in one object is an error', async () => {
  expect(await read('{"a": {"b": 1}, "c": {"b": 1, "\\u0062": 2}}')).toMatchInlineSnapshot(`
    "ConfigError: FILE: the key "\\u0062" stands twice in one object
      fix: keep one of them"
  `);
});

test('a recipe of the package is found by its name, unless such a file is there', async () => {
  expect(await readJsonObject('laptop-table-1')).toHaveProperty('variants');
  await expect(readJsonObject('laptop-table-0')).rejects.toThrow('cannot be read');
  await expect(readJsonObject(join(folder, 'laptop-table-1'))).rejects.toThrow('cannot be read');
});

test.each(['__proto__.x=1', 'constructor=1', 'training.toString=1'])('%s sets no option', (assignment) => {
  expect(() => overlay({ training: {} }, parseAssignment(assignment))).toThrow('there is no option');
});
