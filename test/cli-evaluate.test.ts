/** @file `udit evaluate` from the command line to its scores. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { hostTensor } from '../src/core/host-tensor.ts';
import { randomIntegers, randomKey } from '../src/core/random.ts';
import { writeFileAtomic } from '../src/host/files/atomic-write-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { DINOv2 } from '../src/networks/features/dinov2.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { npzOf } from './support/npz.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyCard, tinySpec, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
let extractor: string;
let checkpoint: string;
let real: string;

async function writePictures(name: string, seed: number, count: number, side: number): Promise<string> {
  const data = Uint8Array.from(randomIntegers(randomKey(seed), count * side * side * 3, 256));
  const path = join(root, name);
  await writeFileAtomic(path, [
    await npzOf(new Map([['arr_0', hostTensor('u8', [count, side, side, 3], data)]])),
  ]);
  return path;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit cli '));
  checkpoint = join(root, 'model.safetensors');
  await writeTinyCheckpoint(checkpoint, tinyCard({ spec: tinySpec({ inputSize: 16 }) }));
  const config = {
    ...{ inputSize: 4, inChannels: 3, patchSize: 2, width: 8, depth: 1, heads: 2, positions: 2 },
  };
  const network = new DINOv2(config);
  extractor = join(root, 'features.safetensors');
  await writeModel(extractor, {
    card: { role: 'features', name: 'DINOv2-tiny', spec: { family: 'DINOv2', config }, step: 0, nimg: 0 },
    weights: initialise(network, network.initRule, randomKey(1)),
    source: 'model',
  });
  real = await writePictures('real.npz', 1, 12, 16);
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(() => {
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const evaluate = (...args: readonly string[]) => runUdit(['evaluate', ...args], root);

describe('a model', () => {
  const draw = ['--num-samples', '11', '--num-sampling-steps', '2', '--extractor'] as const;

  test('is drawn and measured, and the second time nothing is drawn', async () => {
    const args = [real, checkpoint, ...draw, extractor, '--metrics', 'fid,pr,swd'];
    const { code, out, err } = await evaluate(...args);
    expect({ code, errors: /Error/.test(err) ? err : '' }).toEqual({ code: 0, errors: '' });
    const told = out.replaceAll(/[0-9a-f]{12}…|CRC-32 [0-9a-f]{8}/g, 'HASH').replaceAll(/ {2,}/g, '  ');
    expect(
      told.replaceAll(/(?<=^(?:FD|precision|recall|SWD)\S* {2})[\d.]+|(?<=first: )[\d.]+/gm, 'N'),
    ).toMatchInlineSnapshot(`
      "reference  ROOT/real.npz: archive, 12 pictures, SHA-256 HASH (real)
      samples  ROOT/model.safetensors: model, 11 pictures, 3 classes, 4 + 4 + 3 pictures, SHA-256 HASH, weights ema of HASH, sampler dpm++2m, steps 2, cfgScale 3, cfgChannels 3, shift 3, seed 0, classes equal shares, rounding clamp(127.5 x + 128), truncated
      measured  extractor DINOv2-tiny, HASH, k 3, split 5000, version 0.1.0

        score
      FD-DINOv2-11  N
      precision  N  (k = 3: samples within the reference)
      recall  N  (k = 3: reference within the samples)
      SWD-11  N  (in thousandths; levels, finest first: N)
      "
    `);
    // Parts that are there are read: the pictures are those of the first time.
    const again = await evaluate(...args);
    expect(again.out).toBe(out);
  });

  test('has its provenance beside every score', async () => {
    const { out } = await evaluate(
      real,
      checkpoint,
      ...draw,
      extractor,
      '--metrics',
      'mind',
      '--json',
      '--seed',
      '3',
    );
    const { scores, samples, provenance } = JSON.parse(out);
    expect(scores).toEqual([
      {
        ...{ metric: 'mind', label: 'MIND-11', value: expect.any(Number) },
        remark: 'mean squared distance along 1,000 directions',
      },
    ]);
    expect(samples.provenance).toMatchObject({ seed: 3, steps: 2, classes: 'equal shares' });
    expect(provenance.extractor).toMatch(/^DINOv2-tiny, CRC-32 [0-9a-f]{8}$/);
  });
});

describe('what cannot be is an error', () => {
  test('weights that are not fetched', async () => {
    const { code, err } = await evaluate(real, checkpoint);
    expect(code).toBe(2);
    expect(err).toMatchInlineSnapshot(`
      "ConfigError: --extractor: the weights of fid-inception are not there
        fix: fetch them with: npx udit fetch fid-inception; --metrics swd needs none
      "
    `);
  });

  test('a network that describes nothing, and metrics that there are not', async () => {
    const denoiser = await evaluate(real, checkpoint, '--extractor', checkpoint);
    expect(denoiser.err).toContain('this file is a denoiser; a feature network is needed');
    expect((await evaluate(real, checkpoint, '--metrics', 'fad')).code).toBe(2);
  });

  test('a sheet of a model, before it has drawn anything', async () => {
    const { code, err } = await evaluate(
      ...[real, checkpoint, '--extractor', extractor, '--sheet', join(root, 'new', 'sheet.png')],
    );
    expect(code).toBe(2);
    expect(err).toContain('model.safetensors is a model, whose pictures are not kept');
  });

  test('statistics that would overwrite the reference', async () => {
    const { err } = await evaluate(real, checkpoint, '--save-statistics', real);
    expect(err).toContain('is read, and would be overwritten');
  });
});

test('a model that is not there is one error', async () => {
  const { code, err } = await evaluate(real, join(root, 'nosuch.safetensors'), '--metrics', 'swd');
  expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('there is no such file') });
});
