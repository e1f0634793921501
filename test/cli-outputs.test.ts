/** @file No command overwrites what it reads, or writes where a run keeps what it goes on from. */
import {
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runUdit } from './support/run-udit.ts';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'udit outputs ')));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await mkdir(join(root, 'run', 'checkpoints'), { recursive: true });
  await writeTinyCheckpoint(join(root, 'run', 'checkpoints', 'step-0000020.safetensors'), tinyDiTCard());
  await writeFile(
    join(root, 'run', 'stats.jsonl'),
    '{"step":0,"heldOutLoss":2}\n{"step":9,"heldOutLoss":1}\n',
  );
  await writeFile(join(root, 'run', 'config.json'), '{"model":{"preset":"U-DiT-XS"},"uditVersion":"1.2.3"}');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const at = (...parts: readonly string[]) => join(root, ...parts);
const CHECKPOINT = 'run/checkpoints/step-0000020.safetensors';

/** All files by their paths, and what links lead to. */
async function contents(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of (await readdir(root, { recursive: true })).sort()) {
    found[path] = await readFile(at(path), 'base64').catch(() => 'a folder');
  }
  return found;
}

/** What a command says that is refused before it has done anything. */
async function refusal(...args: readonly string[]): Promise<string> {
  const before = await contents();
  const { code, out, err } = await runUdit(args, root);
  expect({ code, out }, err).toEqual({ code: 2, out: '' });
  expect(await contents()).toEqual(before);
  return err;
}

describe('an export does not overwrite the checkpoint it is made of', () => {
  beforeEach(() => copyFile(at(CHECKPOINT), at('mine.safetensors')));
  const exportTo = (out: string, ...flags: readonly string[]) =>
    refusal('export', at('mine.safetensors'), '--out', out, ...flags);

  test('by its own name', async () => {
    expect(await exportTo(at('mine.safetensors'))).toMatchInlineSnapshot(`
      "ConfigError: --out: ROOT/mine.safetensors is read, and would be overwritten
        fix: give another name
      "
    `);
  });

  test('by a relative name', async () => {
    const out = relative(process.cwd(), at('run', '..', 'mine.safetensors'));
    expect(await exportTo(out)).toContain('ROOT/mine.safetensors is read, and would be overwritten');
  });

  test.each([
    ['a symbolic link', symlink],
    ['another name of the file', link],
  ])('by %s', async (_, make) => {
    await make(at('mine.safetensors'), at('other.safetensors'));
    expect(await exportTo(at('other.safetensors'))).toContain(
      '/other.safetensors and ROOT/mine.safetensors are one file, which is read',
    );
  });

  test('by a linked folder', async () => {
    await symlink(root, at('linked'));
    expect(await exportTo(at('linked', 'mine.safetensors'))).toContain(
      'ROOT/mine.safetensors are one file, which is read',
    );
  });

  test('as ONNX', async () => {
    expect(await exportTo(at('mine.safetensors'), '--format', 'onnx')).toContain('would be overwritten');
  });

  test('by the weights beside a model, or by removing those of an earlier export', async () => {
    await copyFile(at(CHECKPOINT), at('mine.onnx.data'));
    for (const flags of [[], ['--external-data']]) {
      const said = await refusal('export', at('mine.onnx.data'), '--out', at('mine.onnx'), ...flags);
      expect(said).toContain('ROOT/mine.onnx.data is read, and would be overwritten');
    }
  });

  test('but writes beside it', async () => {
    const flags = ['--what', 'denoiser', '--batch-size', '1'];
    const { code } = await runUdit(
      ['export', at('mine.safetensors'), '--out', at('mine.onnx'), ...flags],
      root,
    );
    expect(code).toBe(0);
  });
});

test('a run’s checkpoints are not overwritten by an export', async () => {
  expect(await refusal('export', at('run'), '--out', at(CHECKPOINT))).toMatchInlineSnapshot(`
    "ConfigError: --out: ROOT/run/checkpoints/step-0000020.safetensors is read, and would be overwritten
      fix: give another name
    "
  `);
});

test.each([
  ['export', ['run', '--out', 'run/checkpoints/new/model.onnx']],
  ['export', ['run', '--out', 'run/config.json', '--format', 'onnx']],
  ['inspect', ['--svg', 'run/checkpoints/model.svg']],
  ['inspect', ['run', '--spectrum', 'run/checkpoints/spectrum']],
  ['plot', ['run', '--out', 'run/checkpoints/curve.png']],
  ['sample', ['run', '--out', 'run/checkpoints']],
  ['sample', ['run', '--out', 'run/checkpoints/samples']],
  ['train', ['--results-dir', 'run/checkpoints']],
  ['train', ['--results-dir', 'run', '--name', 'checkpoints']],
  ['start', ['--results-dir', 'run/checkpoints']],
  ['ablate', ['grid.json', '--out', 'run/checkpoints']],
  ['bench', ['--profile', 'run/checkpoints']],
  ['fetch', ['U-DiT-S-400k', '--cache-dir', 'run/checkpoints']],
] as const)('udit %s %j does not touch what a run goes on from', async (command, args) => {
  await writeFile(at('grid.json'), '{"variants":[{"name":"one"}],"budget":{"steps":1}}');
  const isPath = (argument: string) => /^(run|grid)/.test(argument);
  const said = await refusal(
    command,
    ...args.map((argument) => (isPath(argument) ? at(argument) : argument)),
  );
  expect(said).toMatch(/^ConfigError: --[a-z-]+: ROOT\/run\/.* a run/);
});

test('a drawing does not overwrite the model that it shows', async () => {
  await copyFile(at(CHECKPOINT), at('model.png'));
  await writeFile(at('mine.json'), '{"model":{"preset":"U-DiT-XS"}}');
  const said = [
    await refusal('inspect', at('model.png'), '--svg', at('model.png')),
    await refusal('inspect', at('model.png'), '--spectrum', at('model')),
    await refusal('inspect', at('mine.json'), '--svg', at('mine.json')),
    await refusal('plot', at('model.png'), '--out', at('model')),
  ];
  for (const text of said) expect(text).toMatch(/read,? and would be overwritten/);
});

test('a table does not overwrite the grid that it is of', async () => {
  await writeFile(at('results.json'), '{"variants":[{"name":"one"}],"budget":{"steps":1}}');
  expect(await refusal('ablate', at('results.json'), '--out', root)).toMatchInlineSnapshot(`
    "ConfigError: --out: ROOT/results.json is read, and would be overwritten
      fix: give another name
    "
  `);
});

test('the rest of a run’s folder may be written into', async () => {
  const { code } = await runUdit(['plot', at('run'), '--out', at('run', 'curve.svg')], root);
  expect(code).toBe(0);
});
