import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CheckpointError } from '../core/errors.ts';
import { tensorOf } from '../core/host-tensor.ts';
import { readTensors } from '../core/tensor-source.ts';
import { openTensorFile, writeSafetensors } from './file-node.ts';
import { findWeights } from './parts-node.ts';

const A = tensorOf('f32', [2], [1, 2]);
const B = tensorOf('f32', [1], [3]);
const PARTS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const INDEX = 'model.safetensors.index.json';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-parts-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A folder of its own with these files; an index is given as what it says. */
async function folderOf(files: readonly string[], index?: unknown): Promise<string> {
  const at = await mkdtemp(join(folder, 'case-'));
  for (const name of files) {
    await writeSafetensors(join(at, name), new Map([name === PARTS[0] ? ['a', A] : ['b', B]]), {});
  }
  // With the byte order mark that some editors write.
  if (index !== undefined) await writeFile(join(at, INDEX), `\uFEFF${JSON.stringify(index)}`);
  return at;
}

async function tensorsOf(path: string): Promise<unknown> {
  const file = await openTensorFile(path);
  try {
    return Object.fromEntries(await readTensors(file));
  } finally {
    await file.close();
  }
}

async function problemOf(path: string): Promise<string> {
  const error: unknown = await openTensorFile(path).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message.replaceAll(folder, 'FOLDER').replaceAll(/case-\w+/g, 'case');
}

const SOUND = { metadata: { total_size: 12 }, weight_map: { a: PARTS[0], b: PARTS[1] } };

describe('weights in several files', () => {
  test.each([INDEX, ...PARTS])('given %s', async (name) => {
    expect(await tensorsOf(join(await folderOf(PARTS, SOUND), name))).toEqual({ a: A, b: B });
  });

  test.each(PARTS)('without an index, given %s', async (name) => {
    expect(await tensorsOf(join(await folderOf(PARTS), name))).toEqual({ a: A, b: B });
  });

  test('what a folder holds: an index, parts, or one file', async () => {
    expect(await findWeights(await folderOf(PARTS, SOUND))).toMatch(INDEX);
    expect(await findWeights(await folderOf(PARTS))).toMatch(PARTS[0]);
    expect(await findWeights(await folderOf(['model.safetensors']))).toMatch('model.safetensors');
    expect(await findWeights(await folderOf(['a.safetensors', 'b.safetensors']))).toBeUndefined();
  });

  test('of variants the one without a name', async () => {
    const variants = ['model.fp16.safetensors', 'model.safetensors', 'model.non_ema.safetensors'];
    expect(await findWeights(await folderOf(variants))).toMatch(/\/model\.safetensors$/);
    const indices = ['m.safetensors.index.fp16.json', 'm.safetensors.index.json'];
    const folder = await folderOf([]);
    for (const name of indices) await writeFile(join(folder, name), '{}');
    expect(await findWeights(folder)).toMatch(/index\.json$/);
  });
});

describe('refusals', () => {
  test('a part that is missing, by its name', async () => {
    for (const index of [SOUND, undefined]) {
      const at = await folderOf([PARTS[0]], index);
      expect(await problemOf(join(at, PARTS[0]))).toContain(`its part ${PARTS[1]} is not beside it`);
    }
  });

  test.each<[string, unknown]>([
    ['tensor c is not in model-00001-of-00002.safetensors', { weight_map: { a: PARTS[0], c: PARTS[0] } }],
    ['the index names ../x, which is not beside it', { weight_map: { a: '../x' } }],
    ['the index names no file', { weight_map: {} }],
    ['the index has no weight_map', { a: PARTS[0] }],
  ])('%s', async (problem, index) => {
    expect(await problemOf(join(await folderOf(PARTS, index), INDEX))).toContain(problem);
  });

  test('a tensor in two parts', async () => {
    const at = await folderOf(PARTS);
    await writeSafetensors(join(at, PARTS[1]), new Map([['a', A]]), {});
    expect(await problemOf(join(at, PARTS[0]))).toContain(`tensor a is in ${PARTS[0]} and in ${PARTS[1]}`);
  });

  test('a name that says it has too many parts', async () => {
    const path = join(folder, 'm-00001-of-99999.safetensors');
    await writeFile(path, '');
    expect(await problemOf(path)).toContain('99999 parts');
  });
});
