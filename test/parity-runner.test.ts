import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HostTensor, hostTensor } from '../src/core/host-tensor.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/file-node.ts';
import { formatResult, formatSummary } from '../tools/parity/report.ts';
import { checkFolder, type FixtureResult } from '../tools/parity/run.ts';

const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-parity-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function copyFixture(...names: readonly string[]): Promise<void> {
  for (const name of names) await cp(join(FIXTURES, name), join(folder, name.split('/').at(-1)!));
}

async function check(only?: string): Promise<FixtureResult[]> {
  const results: FixtureResult[] = [];
  for await (const result of checkFolder(folder, { backend: cpuBackend, only })) results.push(result);
  return results;
}

/** Rewrites one tensor of a copied file. */
async function alter(
  file: string,
  name: string,
  change: (data: Float32Array) => Float32Array,
): Promise<void> {
  const { tensors, metadata } = await readSafetensors(join(folder, file));
  const { shape, data } = tensors.get(name) as HostTensor<'f32'>;
  tensors.set(name, hostTensor('f32', shape, change(data)));
  await writeSafetensors(join(folder, file), tensors, metadata);
}

async function alterJson(file: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, file), 'utf8')) as Record<string, unknown>;
  change(json);
  await writeFile(join(folder, file), JSON.stringify(json));
}

const RECORDED_DIT = [
  'models/dit/dit_p2_nosigma.json',
  'models/dit/dit_p2_nosigma.safetensors',
  'models/dit/dit_p2_nosigma.weights.safetensors',
];

describe('a fixture that differs', () => {
  test('fails by the value that differs, and no other', async () => {
    await copyFixture(...RECORDED_DIT);
    await alter('dit_p2_nosigma.safetensors', 'cfg.out_4.0', (data) => data.with(77, data[77]! + 2e-4));
    const [result] = await check();
    expect(result!.status).toBe('failed');
    const failed = result!.comparisons.filter(({ excess }) => excess > 1);
    expect(failed.map(({ quantity }) => quantity)).toEqual(['cfg.out_4.0']);
    expect(failed[0]!.maxAbs).toBeCloseTo(2e-4, 5);
    expect(failed[0]!.excess).toBeCloseTo(2, 1);
  });

  test('fails where a value is not a number', async () => {
    await copyFixture(...RECORDED_DIT);
    await alter('dit_p2_nosigma.safetensors', 'out', (data) => data.with(0, Number.NaN));
    const [result] = await check();
    expect(result!.status).toBe('failed');
  });

  test('fails where weights differ', async () => {
    await copyFixture(...RECORDED_DIT);
    const name = 'blocks.1.attn.qkv.bias';
    await alter('dit_p2_nosigma.weights.safetensors', name, (data) => data.with(0, data[0]! + 0.01));
    const [result] = await check();
    const failed = result!.comparisons.filter(({ excess }) => excess > 1).map(({ quantity }) => quantity);
    expect(failed).toContain('out');
    expect(failed).not.toContain('out.blocks.0');
  });

  test('fails where the number of parameters differs', async () => {
    await copyFixture(...RECORDED_DIT);
    await alterJson('dit_p2_nosigma.json', (json) => {
      json.params = 32033;
    });
    const [result] = await check();
    expect(formatResult(result!)).toBe(
      [
        'FAIL  model forward  dit_p2_nosigma  14 values; closest to its limit: params: 32032, recorded is 32033 (exact)',
        '      params: 32032, recorded is 32033 (exact)',
      ].join('\n'),
    );
  });
});

test('a checkpoint file that differs by one bit fails by the tensor it is in', async () => {
  await copyFixture('checkpoints/expected.json', 'checkpoints/exotic_legacy.pt');
  const [sound] = await check();
  expect(formatResult(sound!)).toMatchInlineSnapshot(
    `"pass  checkpoint files  expected  14 values; 6 not compared; closest to its limit: exotic_legacy.pt transposed: max-abs 0.00e+0, rel L2 0.00e+0 (exact)"`,
  );
  const path = join(folder, 'exotic_legacy.pt');
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
  const [damaged] = await check();
  expect(formatResult(damaged!)).toMatchInlineSnapshot(`
    "FAIL  checkpoint files  expected  14 values; 6 not compared; closest to its limit: exotic_legacy.pt i64: [-3,-2,-1,0,1,72057594037927940], recorded is [-3,-2,-1,0,1,2] (exact)
          exotic_legacy.pt i64: [-3,-2,-1,0,1,72057594037927940], recorded is [-3,-2,-1,0,1,2] (exact)"
  `);
});

describe('a fixture that cannot be checked fails and says why', () => {
  test('an option of the model that we do not know', async () => {
    await copyFixture(...RECORDED_DIT);
    await alterJson('dit_p2_nosigma.json', (json) => Object.assign(json.config as object, { registers: 4 }));
    const [result] = await check();
    expect(formatResult(result!)).toMatchInlineSnapshot(
      `"FAIL  model forward  dit_p2_nosigma  DataError: dit_p2_nosigma: the option "registers" of the reference has no counterpart here"`,
    );
  });

  test('weights of another model', async () => {
    await copyFixture(...RECORDED_DIT);
    await alterJson('dit_p2_nosigma.json', (json) => Object.assign(json.config as object, { depth: 3 }));
    const [result] = await check();
    expect(result!.problem).toContain('32 keys match, 10 missing');
  });

  test('a file that is not JSON', async () => {
    await copyFixture('models/dit/pos_embed.json', 'models/dit/pos_embed.safetensors');
    await writeFile(join(folder, 'broken.json'), '{');
    const results = await check();
    expect(results.map(({ name, status }) => [name, status])).toEqual([
      ['broken', 'failed'],
      ['pos_embed', 'passed'],
    ]);
    expect(results[0]!.problem).toContain('broken.json: not JSON');
  });

  test('tensors that are missing', async () => {
    await copyFixture('models/dit/dit_p2_nosigma.json', 'models/dit/dit_p2_nosigma.weights.safetensors');
    const [result] = await check();
    expect(formatResult(result!)).toMatchInlineSnapshot(
      `"FAIL  model forward  dit_p2_nosigma  DataError: dit_p2_nosigma: there is no tensor x among 0"`,
    );
  });
});

test('what a fixture is about does not depend on where it lies or how it is called', async () => {
  await mkdir(join(folder, 'some', 'where'), { recursive: true });
  await copyFixture(...RECORDED_DIT);
  await rename(
    join(folder, 'dit_p2_nosigma.weights.safetensors'),
    join(folder, 'some', 'where', 'w.safetensors'),
  );
  await rename(join(folder, 'dit_p2_nosigma.safetensors'), join(folder, 'some', 'udit.safetensors'));
  await rename(join(folder, 'dit_p2_nosigma.json'), join(folder, 'some', 'udit.json'));
  await alterJson('some/udit.json', (json) => {
    json.weights = 'where/w.safetensors';
  });
  const [result] = await check();
  expect(result).toMatchObject({ name: 'some/udit', kind: 'model forward', status: 'passed' });
});

test('fixtures of other kinds are skipped and counted', async () => {
  await copyFixture('models/dit/pos_embed.json', 'models/dit/pos_embed.safetensors');
  await writeFile(join(folder, 'sit.json'), JSON.stringify({ kind: 'SiT', config: {} }));
  const results = await check();
  expect(results.map(formatResult)).toMatchInlineSnapshot(`
    [
      "pass  positions  pos_embed  4 values; closest to its limit: pos_48_8: max-abs 0.00e+0, rel L2 0.00e+0 (abs 1e-6)",
      "skip  unknown  sit  SiT",
    ]
  `);
  expect(formatSummary(results)).toBe('1 passed, 0 failed, 1 skipped');
});

describe('nothing to check is a failure', () => {
  test('a folder that is not there', async () => {
    const results = checkFolder('no/such/folder', { backend: cpuBackend });
    await expect(results.next()).rejects.toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: no/such/folder: the folder of fixtures cannot be read (ENOENT)
        fix: give a folder of .json files with .safetensors files of the same names]
    `);
  });

  test('a folder without fixtures', async () => {
    const where = (error: Error) => error.message.replaceAll(folder, 'FOLDER');
    const error = await check('models').catch((thrown: Error) => thrown);
    expect(where(error as Error)).toMatchInlineSnapshot(`
      "DataError: FOLDER: no fixture was checked: 0 JSON files match "models", none of a known kind
        fix: give a folder that holds fixtures, or leave out --only"
    `);
  });
});

describe('npm run parity', () => {
  const run = (...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const main = fileURLToPath(new URL('../tools/parity/main.ts', import.meta.url));
      execFile(process.execPath, ['--import', 'tsx', main, ...args], (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
    });

  test('exits with 0 when all pass, and prints JSON on request', async () => {
    const { code, stdout } = await run(join(FIXTURES, 'models', 'dit'), '--only', 'pos_embed', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ name: 'pos_embed', status: 'passed' }]);
  });

  test('exits with 1 when one fails', async () => {
    await copyFixture('models/dit/pos_embed.json', 'models/dit/pos_embed.safetensors');
    await alter('pos_embed.safetensors', 'pos_32_7', (data) => data.with(5, 0.5));
    const { code, stdout } = await run(folder);
    expect(code).toBe(1);
    expect(stdout).toContain('0 passed, 1 failed, 0 skipped');
  });

  test('exits with 2 when called wrongly', async () => {
    const { code, stderr } = await run('a', 'b');
    expect(code).toBe(2);
    expect(stderr).toContain('give one folder of fixtures');
    expect(stderr).toContain('Usage: npm run parity');
  });
});
