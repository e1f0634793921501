/** @file `udit export` from the command line to the files, on a tiny model. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type HostTensor, tensorOf, toNumbers } from '../src/core/host-tensor.ts';
import { randomKey } from '../src/core/random.ts';
import { ModelProtoSchema } from '../src/engine/onnx/schema/onnx_pb.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import type { Backend, Session } from '../src/engine/runtime/session.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/file-node.ts';
import { sha256OfFile } from '../src/host/files/digest-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { cardMetadata } from '../src/models/saved-model.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { writeOnnxExport } from '../src/tasks/export/export-file-node.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { randomWeights, tinyCard, tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

/** Wide enough that its weights are most of a file. */
const SPEC = presetSpec('DiT-S/2', {
  ...{ inputSize: 8, inChannels: 3, numClasses: 3, learnSigma: false },
  ...{ width: 64, heads: 2, depth: 1 },
});

let root: string;
let checkpoint: string;
let out: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit export '));
  checkpoint = join(root, 'tiny.safetensors');
  await writeTinyCheckpoint(checkpoint, tinyDiTCard({ spec: SPEC }));
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  out = join(root, 'out');
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
});

const exportTo = (name: string, ...flags: readonly string[]): Promise<Outcome> =>
  runUdit(['export', checkpoint, '--threads', '1', '--out', join(out, name), ...flags], root);

/** Differences are of the size of rounding, and not the same everywhere. */
const rounded = (text: string) => text.replaceAll(/\d\.\de[+-]\d+(?=[ ,)])/g, '#');

/** A backend for which models from files give slightly more. */
const misreadingFiles: Backend = {
  ...cpuBackend,
  async createSession(model, options) {
    const session = await cpuBackend.createSession(model, options);
    return 'path' in model ? givingMore(session) : session;
  },
};

function givingMore(session: Session): Session {
  const more = ({ dtype, shape, data }: HostTensor) =>
    tensorOf(
      'f32',
      shape,
      Array.from(toNumbers({ dtype, shape, data }), (x) => x + 1e-3),
    );
  return {
    run: async (feeds) =>
      new Map([...(await session.run(feeds))].map(([name, value]) => [name, more(value)])),
    release: () => session.release(),
  };
}

describe('ONNX', () => {
  test('a sampler, by default', async () => {
    const { code, out: printed } = await exportTo('new/model.onnx');
    expect(code).toBe(0);
    expect(rounded(printed)).toMatchInlineSnapshot(`
      "tiny DiT, step 20, EMA weights (ROOT/tiny.safetensors)
      ROOT/out/new/model.onnx, 0.4 MB
        draws    by dpm++2m in 16 steps, made for cfg scale 3
        takes    noise f32[N,3,8,8], labels i64[N], cfgScale f32[]
        gives    images f32[N,3,8,8]
        checked  against the live model in float32, in batches of 1 and 3: largest difference #, relative L2 # (allowed 1e-3)
      "
    `);
    expect(await readdir(join(out, 'new'))).toEqual(['model.onnx']);
  });

  test('a sampler of another size', async () => {
    const { code, out: printed } = await exportTo(
      'tall.onnx',
      ...['--image-size', '16x8', '--position-scaling', 'ntk', '--steps', '2'],
    );
    expect(code).toBe(0);
    expect(printed).toContain('gives    images f32[N,3,16,8]');
    expect(printed).toContain('checked  against the live model');
  });

  test('in int8, as far from float32 as the live model', async () => {
    const flags = ['--what', 'denoiser', '--precision', 'int8'];
    const { code, out: printed } = await exportTo('int8.onnx', ...flags, '--json');
    expect(code).toBe(0);
    const { precision, check } = JSON.parse(printed);
    expect([precision, check.live.precision, check.live.factor]).toEqual(['int8', 'int8', 1.1]);
    const { graph, metadataProps } = fromBinary(ModelProtoSchema, await readFile(join(out, 'int8.onnx')));
    expect(graph!.node.some(({ opType }) => opType === 'MatMulInteger')).toBe(true);
    expect(metadataProps.find(({ key }) => key === 'precision')?.value).toBe('int8');

    const lines = rounded((await exportTo('int8.onnx', ...flags)).out).split('\n');
    expect(lines.slice(4).join('\n')).toMatchInlineSnapshot(`
      "  checked  against the live model in float32, in batches of 1 and 3: largest difference #, relative L2 # (allowed #)
                 the live model in int8: relative L2 #, of which 1.1 times is allowed
      "
    `);
  });

  test.each(['denoiser', 'guided-step', 'sampler'])(
    'the bundled model in int8, its %s',
    async (what) => {
      const path = join(out, 'emoji.onnx');
      const flags = ['--what', what, '--precision', 'int8', '--out', path];
      const { code, err } = await runUdit(['export', ...flags], root);
      expect(code, err).toBe(0);
      expect(await readdir(out)).toEqual(['emoji.onnx']);
    },
    300_000,
  );

  test('with operators of opset 17', async () => {
    const { out: printed } = await exportTo('older.onnx', '--what', 'denoiser', '--opset', '17', '--json');
    expect(JSON.parse(printed)).toMatchObject({ opset: 17, check: { batchSizes: [1, 3] } });
    const { opsetImport } = fromBinary(ModelProtoSchema, await readFile(join(out, 'older.onnx')));
    expect(opsetImport.map(({ version }) => version)).toEqual([17n]);
  });

  test('metadata names version and source', async () => {
    await exportTo('model.onnx', '--what', 'denoiser', '--weights', 'model');
    const { metadataProps } = fromBinary(ModelProtoSchema, await readFile(join(out, 'model.onnx')));
    const metadata = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
    expect(metadata).toMatchObject({
      what: 'denoiser',
      weights: 'model',
      udit_version: manifest.version,
      checkpoint: 'tiny.safetensors',
      checkpoint_sha256: await sha256OfFile(checkpoint),
    });
  });

  test('JSON for scripts', async () => {
    const flags = ['--what', 'guided-step', '--steps', '3', '--batch-size', '2', '--json'];
    const { out: printed } = await exportTo('step.bin', '--format', 'onnx', ...flags);
    const { bytes, check, ...result } = JSON.parse(printed);
    expect(bytes).toBe((await readFile(join(out, 'step.bin'))).length);
    expect(check).toMatchObject({ batchSizes: [2], tolerance: 2e-5 });
    expect(check.relativeL2).toBeLessThan(check.tolerance);
    expect(result).toMatchInlineSnapshot(`
      {
        "checkpoint": "ROOT/tiny.safetensors",
        "dataPath": null,
        "findings": {},
        "format": "onnx",
        "inputs": [
          {
            "dtype": "f32",
            "name": "x",
            "shape": [
              2,
              3,
              8,
              8,
            ],
          },
          {
            "dtype": "i64",
            "name": "labels",
            "shape": [
              2,
            ],
          },
          {
            "dtype": "f32",
            "name": "cfgScale",
            "shape": [],
          },
          {
            "dtype": "f32",
            "name": "previousX0",
            "shape": [
              2,
              3,
              8,
              8,
            ],
          },
          {
            "dtype": "i64",
            "name": "step",
            "shape": [],
          },
        ],
        "model": "tiny DiT",
        "opset": 23,
        "outputs": [
          {
            "dtype": "f32",
            "name": "next",
            "shape": [
              2,
              3,
              8,
              8,
            ],
          },
          {
            "dtype": "f32",
            "name": "x0",
            "shape": [
              2,
              3,
              8,
              8,
            ],
          },
          {
            "dtype": "f32",
            "name": "next.previousX0",
            "shape": [
              2,
              3,
              8,
              8,
            ],
          },
        ],
        "path": "ROOT/out/step.bin",
        "precision": "f32",
        "sampler": {
          "cfgChannels": 3,
          "cfgScale": 3,
          "sampler": "dpm++2m",
          "shift": 3,
          "steps": 3,
        },
        "stepCount": 3,
        "weights": "ema",
        "what": "guided-step",
      }
    `);
  });
});

test('weights in a file of their own', async () => {
  const { code, out: printed } = await exportTo('model.onnx', '--steps', '2', '--external-data');
  expect(code).toBe(0);
  expect(printed).toMatch(/^ROOT\/out\/model\.onnx and ROOT\/out\/model\.onnx\.data, 0\.[3-9] MB$/m);
  expect(await readdir(out)).toEqual(['model.onnx', 'model.onnx.data']);
  await exportTo('one.onnx', '--steps', '2');
  const [apart, together] = await Promise.all(
    ['model.onnx', 'one.onnx'].map((name) => readFile(join(out, name))),
  );
  expect(apart!.length).toBeLessThan(together!.length / 2);

  await writeFile(join(out, 'one.onnx.data'), 'of another export, long ago');
  await writeFile(join(out, 'other.onnx.data'), 'of another name');
  await exportTo('model.onnx', '--steps', '2');
  await exportTo('one.onnx', '--steps', '2', '--batch-size', '1');
  expect(await readdir(out)).toEqual(['model.onnx', 'one.onnx', 'other.onnx.data']);
});

describe('weights', () => {
  test('have bare keys and the values of the moving average', async () => {
    const { code, out: printed } = await exportTo('weights.safetensors');
    expect(code).toBe(0);
    expect(printed).toMatchInlineSnapshot(`
      "tiny DiT, step 20, EMA weights (ROOT/tiny.safetensors)
      ROOT/out/weights.safetensors, 0.4 MB
        22 tensors under PyTorch's names, read back and compared
      "
    `);
    const path = join(out, 'weights.safetensors');
    const file = await readSafetensors(path);
    const expected = randomWeights(SPEC, 2);
    expect([...file.tensors.keys()]).toEqual([...expected.keys()]);
    for (const [name, { data }] of expected) expect(file.tensors.get(name)!.data, name).toEqual(data);
    expect(file.metadata).toMatchObject({ weights: 'ema', checkpoint: 'tiny.safetensors' });
    expect((await openModel(path)).source).toBe('ema');
  });
});

test('weights of DiT under the names of diffusers, and back', async () => {
  const [given, renamed, back] = ['dit', 'renamed', 'back'].map((name) => join(out, `${name}.safetensors`));
  const spec = presetSpec('DiT-S/8', { width: 16, heads: 1, depth: 2, numClasses: 3 });
  const network = createModel(spec);
  const weights = initialise(network, network.initRule, randomKey(1));
  await writeSafetensors(given!, weights, cardMetadata(tinyCard({ name: 'mine', spec })));
  const exported = await runUdit(['export', given!, '--out', renamed!, '--names', 'diffusers'], root);
  expect(exported.out).toMatchInlineSnapshot(`
    "mine, step 20, last weights (ROOT/out/dit.safetensors)
    ROOT/out/renamed.safetensors, 0.1 MB
      44 tensors under the names of diffusers, read back and compared
    "
  `);
  const { tensors, metadata } = await readSafetensors(renamed!);
  expect(tensors.get('transformer_blocks.1.attn1.to_k.weight')!.data).toEqual(
    weights.get('blocks.1.attn.qkv.weight')!.data.subarray(16 * 16, 2 * 16 * 16),
  );
  expect((await runUdit(['export', renamed!, '--out', back!], root)).code).toBe(0);
  const original = await readSafetensors(back!);
  expect([...original.tensors]).toEqual([...weights]);
  expect(metadata.name).toBe('mine');
  expect(JSON.parse(original.metadata.spec!)).toEqual(spec);
});

describe('nothing is written', () => {
  test('if the file does not compute what the model computes', async () => {
    const saved = await openModel(checkpoint);
    const path = join(out, 'model.onnx');
    await writeFile(path, 'what was there before');
    const written = writeOnnxExport(path, saved, { what: 'denoiser', backend: misreadingFiles });
    await expect(written).rejects.toThrow(/the exported model gives other values than the live one/);
    expect(await readdir(out)).toEqual(['model.onnx']);
    expect(await readFile(path, 'utf8')).toBe('what was there before');
  });

  const refusal = async (name: string, ...flags: readonly string[]): Promise<string> => {
    const { code, out: printed, err } = await exportTo(name, ...flags);
    expect({ code, printed }).toEqual({ code: 2, printed: '' });
    expect(await readdir(out)).toEqual([]);
    return err;
  };

  test('under a name that says no format', async () => {
    expect(await refusal('model.bin')).toMatchInlineSnapshot(`
      "ConfigError: udit export: ROOT/out/model.bin ends neither in .onnx nor in .safetensors
        fix: choose such a name, or add --format
      "
    `);
  });

  test('for weights with the steps of a sampler', async () => {
    expect(await refusal('w.safetensors', '--steps', '3')).toMatchInlineSnapshot(`
      "ConfigError: udit export: a file of weights says nothing of parts, batches, positions, precision, operators or how images are drawn
        fix: leave those flags out
      "
    `);
  });

  test('for a part of weights', async () => {
    expect(await refusal('w.safetensors', '--what', 'denoiser')).toMatchInlineSnapshot(`
      "ConfigError: udit export: a file of weights says nothing of parts, batches, positions, precision, operators or how images are drawn
        fix: leave those flags out
      "
    `);
  });

  test('for a denoiser with guidance', async () => {
    expect(await refusal('m.onnx', '--what', 'denoiser', '--cfg-scale', '2')).toMatchInlineSnapshot(`
      "ConfigError: udit export: the denoiser alone says nothing of how images are drawn
        fix: leave those flags out
      "
    `);
  });

  test('for a sampler that chooses its steps on the way', async () => {
    expect(await refusal('m.onnx', '--sampler', 'dopri5')).toMatchInlineSnapshot(`
      "ConfigError: sampler dopri5: its steps are adaptive, but here they must be known beforehand
        fix: use euler, midpoint, heun, heun3, rk4, sde-euler, sde-heun, dpm++2m or dpm++2m-sde
      "
    `);
  });

  test('for a sampler of another objective', async () => {
    expect(await refusal('m.onnx', '--sampler', 'ddpm')).toMatchInlineSnapshot(`
      "ConfigError: sampler ddpm: the model has a flow objective, which this sampler does not support
        fix: use euler, midpoint, heun, heun3, rk4, dopri5, sde-euler, sde-heun, dpm++2m or dpm++2m-sde
      "
    `);
  });

  test('with names of another program where there are none', async () => {
    expect(await refusal('m.onnx', '--names', 'diffusers')).toMatchInlineSnapshot(`
      "ConfigError: udit export: a model in ONNX has names of its own
        fix: leave those flags out
      "
    `);
    const udit = join(root, 'udit.safetensors');
    await writeTinyCheckpoint(udit, tinyCard());
    const path = join(out, 'w.safetensors');
    expect(
      await runUdit(['export', udit, '--out', path, '--names', 'diffusers'], root),
    ).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: names of diffusers: it has a network for DiT and SiT, none for U-DiT
        fix: leave --names out
      ",
        "out": "",
      }
    `);
    expect(await readdir(out)).toEqual([]);
  });

  test('for a part that does not exist', async () => {
    expect(await refusal('m.onnx', '--what', 'decoder')).toMatchInlineSnapshot(`
      "error: option '--what <part>' argument 'decoder' is invalid. Allowed choices are sampler, guided-step, denoiser, network.
      (add --help for all options)
      "
    `);
  });

  test('of an opset between those that are written', async () => {
    expect(await refusal('m.onnx', '--opset', '20')).toMatchInlineSnapshot(`
      "error: option '--opset <version>' argument '20' is invalid. Allowed are 17 and 23: newer runtimes read both.
      (add --help for all options)
      "
    `);
  });

  test('for a precision that does not exist', async () => {
    expect(await refusal('m.onnx', '--precision', 'int4')).toMatchInlineSnapshot(`
      "error: option '--precision <name>' argument 'int4' is invalid. Allowed choices are f32, int8.
      (add --help for all options)
      "
    `);
  });

  test('without a place', async () => {
    const { code, err } = await runUdit(['export', checkpoint], root);
    expect(code).toBe(2);
    expect(err).toMatchInlineSnapshot(`
      "error: required option '--out <file>' not specified
      (add --help for all options)
      "
    `);
  });

  test('where a folder is in the way', async () => {
    await mkdir(join(out, 'm.safetensors'));
    const { code, err } = await exportTo('m.safetensors');
    expect(code).toBe(1);
    expect(err).toMatchInlineSnapshot(`
      "CheckpointError: ROOT/out/m.safetensors: cannot be written: it is a folder
        fix: give the name of a file
      "
    `);
    expect(await readdir(out)).toEqual(['m.safetensors']);
  });
});
