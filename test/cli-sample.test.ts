/** @file `udit sample` from the command line to the files, on a tiny model. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { tensorOf } from '../src/core/host-tensor.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { writeSafetensors } from '../src/formats/file-node.ts';
import { parseNpz } from '../src/formats/npz.ts';
import { cardMetadata } from '../src/models/saved-model.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import { expectClose } from './support/closeness.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import {
  randomWeights,
  tinyCard,
  tinyDiTCard,
  tinySpec,
  writeTinyCheckpoint,
} from './support/tiny-checkpoint.ts';
import { torchStateDict } from './support/torch-writer.ts';

let root: string;
let run: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit cli '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  run = join(root, 'my run');
  await mkdir(join(run, 'checkpoints'), { recursive: true });
  await writeTinyCheckpoint(join(run, 'checkpoints', 'step-0000010.safetensors'), tinyDiTCard({ step: 10 }));
  await writeTinyCheckpoint(join(run, 'checkpoints', 'step-0000020.safetensors'), tinyDiTCard({ step: 20 }));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

async function udit(...args: readonly string[]): Promise<Outcome> {
  const outcome = await runUdit(args, root);
  return { ...outcome, out: outcome.out.replace(/\d+\.\d+ s each/, '#.## s each') };
}

const sample = (folder: string, ...flags: readonly string[]) =>
  udit('sample', run, '--steps', '2', '--workers', '1', '--out', join(root, folder), ...flags);

async function pixelsOf(...path: readonly string[]): Promise<Buffer> {
  return sharp(join(root, ...path))
    .raw()
    .toBuffer();
}

describe('another size than that of the training', () => {
  const sizeOfPng = async (...path: readonly string[]) => {
    const { width, height } = await sharp(join(root, ...path)).metadata();
    return { height, width };
  };

  test('the bundled model draws pictures of 48 rows and 32 columns', async () => {
    const { code, out } = await udit(
      ...['sample', '--image-size', '48x32', '--classes', 'flags', '--count', '1', '--steps', '2'],
      ...['--workers', '1', '--npz', '--out', join(root, 'tall')],
    );
    expect(code).toBe(0);
    expect(out).toContain('1 image of 48x32 by dpm++2m');
    expect(await sizeOfPng('tall', 'flags-0-0.png')).toEqual({ height: 48, width: 32 });
    expect(await readdir(join(root, 'tall'))).toContain('samples_1x48x32x3.npz');
  });

  test('a DiT draws with positions that it computes, by the rule asked for', async () => {
    const path = join(run, 'checkpoints', 'step-0000020.safetensors');
    const drawn = [];
    for (const rule of ['none', 'interpolate', 'ntk']) {
      const { code } = await udit(
        ...['sample', path, '--image-size', '8x16', '--position-scaling', rule, '--classes', '1'],
        ...['--count', '1', '--steps', '2', '--workers', '1', '--out', join(root, rule)],
      );
      expect(code).toBe(0);
      const [picture] = (await readdir(join(root, rule))).filter((name) => name !== 'grid.png');
      expect(await sizeOfPng(rule, picture!)).toEqual({ height: 8, width: 16 });
      drawn.push((await pixelsOf(rule, picture!)).toString('hex'));
    }
    expect(new Set(drawn).size).toBe(3);
  });

  test('sizes that are none, or that the model cannot have', async () => {
    expect(await sample('sizes', '--image-size', '48by32')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--image-size <size>' argument '48by32' is invalid. A side or height x width is needed, such as 32 or 48x32.
      (add --help for all options)
      ",
        "out": "",
      }
    `);
    expect(await sample('sizes', '--image-size', '48x31')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: DiT: input size 48x31: width 31 is not a multiple of 2, the patch size
        fix: use input size 48x32 or another patch size
      ",
        "out": "",
      }
    `);
    await expect(readdir(join(root, 'sizes'))).rejects.toThrow('ENOENT');
  });
});

describe('weights of another program', () => {
  const spec = presetSpec('U-DiT-S', { width: 8, heads: 2, depth: [1, 1, 1, 1, 1], numClasses: 3 });
  const weights = randomWeights(spec, 1);
  let path: string;
  beforeAll(async () => {
    path = join(root, 'published.pt');
    await writeFile(path, torchStateDict(weights));
  });
  const sampleLatents = (folder: string, ...flags: readonly string[]) =>
    udit(
      ...['sample', path, '--image-size', '64', '--steps', '2', '--workers', '1'],
      ...['--out', join(root, folder), ...flags],
    );

  test('are recognised, and draw latents', async () => {
    const { code, out, err } = await sampleLatents(
      'latents',
      '--classes',
      '2,0',
      '--count',
      '2',
      '--seed',
      '5',
    );
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "note: latents are not decoded: sd-vae-ft-ema is not on this machine; npx udit fetch sd-vae-ft-ema changes that
      ",
      }
    `);
    expect(out).toMatchInlineSnapshot(`
      "U-DiT, its weights (ROOT/published.pt)
        model    U-DiT for 3 classes, recognised by the shapes of its tensors
        assumed  downFactor 2, downShortcut true, position rope2d, Gaussian diffusion in 1000 linear steps with learned variance
      4 latents by ddpm, 2 steps, cfg scale 1.5, seed 5
      1 worker of 1 thread, batches of 1, at most 81.4 MB each
      4 latents in ROOT/latents, #.## s each
      archive  ROOT/latents/latents_4x4x8x8.npz
      "
    `);
    expect(await readdir(join(root, 'latents'))).toEqual(['latents_4x4x8x8.npz']);
    const arrays = parseNpz(await readFile(join(root, 'latents', 'latents_4x4x8x8.npz')), 'latents');
    // Of classes 2 and 0 the pictures 0 and 1, mixed by the seed.
    const labels = [2, 0, 2, 0];
    expect(arrays.get('labels')).toEqual(tensorOf('i64', [4], labels));

    const model = createModel(presetSpec('U-DiT-S', { ...spec.config, inputSize: 8 }));
    const card = { objective: { kind: 'gaussian' } } as const;
    const sampler = await createSampler(
      { network: model, weights, card },
      { backend: cpuBackend, steps: 2, batchSize: 4 },
    );
    const expected = await sampler.generate({ labels, indices: [2, 3, 5, 0], seed: 5 });
    expectClose(arrays.get('arr_0')!.data as Float32Array, expected.data, { relative: 1e-4 });
    await sampler.release();
  });

  test('as JSON', async () => {
    const { out } = await sampleLatents('latents json', '--classes', '1', '--count', '1', '--json');
    expect(JSON.parse(out)).toMatchObject({
      model: 'U-DiT',
      weights: 'unnamed',
      findings: { model: 'U-DiT for 3 classes, recognised by the shapes of its tensors' },
      images: [{ class: '1', label: 1, index: 0 }],
      grid: null,
      npz: 'ROOT/latents json/latents_1x4x8x8.npz',
    });
  });

  test('of another model than is said', async () => {
    const { code, err } = await sampleLatents('none', '--model', 'DiT-XL/2');
    expect(code).toBe(1);
    expect(err).toContain('fix: its tensors are those of U-DiT: leave --model out');
  });
});

describe('sampling', () => {
  test('keeps what it compiled for the next start, unless told not to; the pictures are the same', async () => {
    const folders = () => readdir(join(root, 'cache', 'compiled')).catch((): string[] => []);
    const others = (await folders()).length;
    const compiled = async () => (await folders()).length - others;
    const draw = async (folder: string, ...flags: readonly string[]) => {
      expect((await sample(folder, '--count', '1', '--seed', '3', ...flags)).code).toBe(0);
      return pixelsOf(folder, 'grid.png');
    };
    const pixels = await draw('uncached', '--no-cache');
    expect(await compiled()).toBe(0);
    for (const folder of ['first start', 'second start']) {
      expect(await draw(folder)).toEqual(pixels);
      expect(await compiled()).toBe(1);
    }
  });

  test('writes the pictures of a run, a grid, and says so', async () => {
    const { code, out, err } = await sample('plain', '--count', '2', '--seed', '5');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatchInlineSnapshot(`
      "tiny DiT, step 20, EMA weights (ROOT/my run/checkpoints/step-0000020.safetensors)
      6 images by dpm++2m, 2 steps, cfg scale 3, seed 5
      1 worker of 1 thread, batches of 1, at most 80.1 MB each
      6 images in ROOT/plain, #.## s each
      grid     ROOT/plain/grid.png
      "
    `);
    expect((await readdir(join(root, 'plain'))).sort()).toEqual([
      'grid.png',
      'newt-5-0.png',
      'newt-5-1.png',
      'owl-5-0.png',
      'owl-5-1.png',
      'red-fox-5-0.png',
      'red-fox-5-1.png',
    ]);
    expect(await sharp(join(root, 'plain', 'owl-5-1.png')).metadata()).toMatchObject({ width: 8, height: 8 });
  });

  test('the archive holds the pixels of the PNG files', async () => {
    const { code, out } = await sample('both', '--classes', 'newt,0', '--count', '2', '--npz', '--json');
    expect(code).toBe(0);
    const archive = parseNpz(await readFile(join(root, 'both', 'samples_4x8x8x3.npz')), 'samples');
    const { images } = JSON.parse(out) as { readonly images: readonly { readonly path: string }[] };
    const pixels = await Promise.all(images.map(({ path }) => pixelsOf('both', basename(path))));
    expect(Buffer.concat(pixels).equals(Buffer.from(archive.get('arr_0')!.data as Uint8Array))).toBe(true);
  });

  test('the same command gives the same bytes; batch size and count change a picture by rounding at most', async () => {
    await sample('first', '--count', '2');
    await sample('again', '--count', '2');
    await sample('small', '--count', '3', '--classes', 'owl', '--batch-size', '1');
    for (const name of await readdir(join(root, 'first'))) {
      const [first, again] = await Promise.all(
        ['first', 'again'].map((folder) => readFile(join(root, folder, name))),
      );
      expect(again!.equals(first!), name).toBe(true);
    }
    const [expected, actual] = [
      await pixelsOf('first', 'owl-0-1.png'),
      await pixelsOf('small', 'owl-0-1.png'),
    ];
    const largest = Math.max(...expected.map((byte, i) => Math.abs(byte - actual[i]!)));
    expect(largest).toBeLessThanOrEqual(1);
  });

  test('any number of workers writes the same bytes', async () => {
    const drawn: Buffer[] = [];
    for (const workers of ['1', '2', '3']) {
      const { code } = await sample(`pool ${workers}`, '--count', '3', '--workers', workers, '--npz');
      expect(code).toBe(0);
      drawn.push(await readFile(join(root, `pool ${workers}`, 'samples_9x8x8x3.npz')));
    }
    expect(drawn[1]!.equals(drawn[0]!)).toBe(true);
    expect(drawn[2]!.equals(drawn[0]!)).toBe(true);
  });

  test('no more workers than batches, whatever is asked for', async () => {
    const flags = ['--classes', 'owl', '--count', '2', '--workers', '999'];
    const { code, out, err } = await sample('many workers', ...flags);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('2 workers of 1 thread, batches of 1, ');
  });

  test.each([
    ['ConfigError: --count: 6,000,000,000 images at once need', '--count', '2G'],
    ['ConfigError: --batch-size: a batch of 3000000 images needs', '--count', '1M', '--batch-size', '3M'],
    ["error: option '--threads <n>' argument '999' is invalid", '--threads', '999'],
    ['ConfigError: sampling a flow: steps is 1000000000', '--steps', '1000000000'],
  ])('%s', async (beginning, ...flags) => {
    const { code, out, err } = await udit('sample', run, '--out', join(root, 'too much'), ...flags);
    expect({ code, out, beginning: err.slice(0, beginning.length) }).toEqual({ code: 2, out: '', beginning });
    expect(await readdir(root)).not.toContain('too much');
  });

  test('WebAssembly draws the same pictures up to rounding', async () => {
    expect(await sample('cpu', '--count', '1', '--classes', 'owl')).toMatchObject({ code: 0 });
    expect(await sample('wasm', '--count', '1', '--classes', 'owl', '--device', 'wasm')).toMatchObject({
      code: 0,
    });
    const [expected, actual] = [await pixelsOf('cpu', 'owl-0-0.png'), await pixelsOf('wasm', 'owl-0-0.png')];
    expect(Math.max(...expected.map((byte, i) => Math.abs(byte - actual[i]!)))).toBeLessThanOrEqual(1);
  });

  test('the weights asked for are used', async () => {
    await sample('ema', '--classes', 'owl', '--count', '1', '--weights', 'ema');
    await sample('model', '--classes', 'owl', '--count', '1', '--weights', 'model');
    const [ema, model] = [await pixelsOf('ema', 'owl-0-0.png'), await pixelsOf('model', 'owl-0-0.png')];
    expect(ema.equals(model)).toBe(false);
  });

  test('a Gaussian model with its own flags', async () => {
    const path = join(root, 'gaussian.safetensors');
    await writeTinyCheckpoint(
      path,
      tinyDiTCard({ objective: { kind: 'gaussian', variance: 'fixed-large' } }),
    );
    const flags = ['--num-sampling-steps', 'ddim5', '--eta', '0.5', '--no-clip', '--cfg-channels', 'all'];
    const { code, out } = await udit(
      ...['sample', path, '--sampler', 'ddim', '--out', join(root, 'gaussian'), '--count', '1', '--json'],
      ...flags,
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      sampler: 'ddim',
      nfe: 5,
      eta: 0.5,
      clip: false,
      cfgChannels: 'all',
    });
  });

  test.each(['flow', 'gaussian'] as const)('a %s model by DPM-Solver++', async (kind) => {
    const path = join(root, `${kind}-dpm.safetensors`);
    const objective = kind === 'flow' ? { kind } : { kind, variance: 'fixed-large' as const };
    await writeTinyCheckpoint(path, tinyDiTCard({ objective }));
    const flags = ['--classes', 'owl', '--count', '1', '--steps', '3', '--out', join(root, kind), '--json'];
    for (const sampler of ['dpm++2m', 'dpm++2m-sde']) {
      const { code, out } = await udit('sample', path, '--sampler', sampler, ...flags);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ sampler, nfe: 3 });
    }
  });

  test('steps chosen on the way, and what they cost', async () => {
    const flags = ['--classes', 'owl', '--count', '1', '--sampler', 'dopri5', '--rtol', '0.01'];
    const { code, out } = await udit('sample', run, ...flags, '--out', join(root, 'dopri5'), '--json');
    expect(code).toBe(0);
    const result = JSON.parse(out) as { readonly nfe: number; readonly networkRuns: null };
    expect(result.nfe % 6).toBe(2);
    expect(result.networkRuns).toBeNull();
    const previews = ['--previews', '--out', join(root, 'no previews')];
    expect(await udit('sample', run, ...flags, ...previews)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --previews: dopri5 has adaptive steps, but each column of the previews is one of the given steps
        fix: leave --previews out, or use a sampler with given steps such as heun
      ",
        "out": "tiny DiT, step 20, EMA weights (ROOT/my run/checkpoints/step-0000020.safetensors)
      1 image by dopri5, steps chosen on the way, cfg scale 3, seed 0
      1 worker of 2 threads, batches of 1, at most 80.1 MB each
      ",
      }
    `);
    await expect(stat(join(root, 'no previews'))).rejects.toThrow('ENOENT');
  });

  test('an SDE of any form and end', async () => {
    const flags = ['--classes', 'owl', '--count', '1', '--json', '--diffusion-form', 'sbdm'];
    const { code, out } = await sample('sde', '--sampler', 'sde-heun', '--last-step', 'tweedie', ...flags);
    expect(code).toBe(0);
    const options = { diffusionForm: 'sbdm', lastStep: 'tweedie', nfe: 4 };
    expect(JSON.parse(out)).toMatchObject(options);
  });

  test('guidance at some times, and previews of the steps', async () => {
    const flags = ['--cfg-interval', '0.2,0.8', '--previews', '--no-png', '--npz', '--steps', '5'];
    const { code, out } = await sample('previews', '--count', '1', ...flags);
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "tiny DiT, step 20, EMA weights (ROOT/my run/checkpoints/step-0000020.safetensors)
      3 images by dpm++2m, 5 steps, cfg scale 3 at times 0.2 to 0.8, seed 0
      1 worker of 1 thread, batches of 1, at most 80.1 MB each
      3 images in ROOT/previews, #.## s each
      previews ROOT/previews/previews.png
      archive  ROOT/previews/samples_3x8x8x3.npz
      "
    `);
    // Three classes of five steps each, 12 · 8 pixels and 6 between them.
    const { width, height } = await sharp(join(root, 'previews', 'previews.png')).metadata();
    expect(height).toBe(3 * 102 + 6);
    expect(width).toBeGreaterThan(5 * 102 + 6);
  });

  test('JSON for scripts', async () => {
    const { out } = await sample('json', '--count', '1', '--classes', '1', '--json');
    const { secondsPerImage, ...result } = JSON.parse(out) as { readonly secondsPerImage: number };
    expect(secondsPerImage).toBeGreaterThan(0);
    expect(result).toMatchInlineSnapshot(`
      {
        "batchSize": 1,
        "cfgChannels": 3,
        "cfgScale": 3,
        "checkpoint": "ROOT/my run/checkpoints/step-0000020.safetensors",
        "device": "cpu",
        "findings": {},
        "grid": "ROOT/json/grid.png",
        "images": [
          {
            "class": "Owl",
            "index": 0,
            "label": 1,
            "path": "ROOT/json/owl-0-0.png",
          },
        ],
        "memoryPerWorker": 80092064,
        "model": "tiny DiT",
        "networkRuns": 4,
        "nfe": 2,
        "nimg": 640,
        "npz": null,
        "precision": "f32",
        "previews": null,
        "sampler": "dpm++2m",
        "seed": 0,
        "shift": 3,
        "size": {
          "height": 8,
          "width": 8,
        },
        "step": 20,
        "steps": 2,
        "threads": 1,
        "weights": "ema",
        "workers": 1,
      }
    `);
  });
});

describe('bad input ends with a message and the right exit code', () => {
  test('an unknown class', async () => {
    expect(await sample('none', '--classes', 'newts')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --classes: there is no class "newts": the model has 3, numbered 0 to 2
        classes  0 Red Fox, 1 Owl, 2 Newt
        fix: did you mean "Newt"?
      ",
        "out": "",
      }
    `);
  });

  test('an unknown flag', async () => {
    expect(await sample('none', '--cfg-scales', '2')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: unknown option '--cfg-scales'
      (Did you mean --cfg-scale?)
      (add --help for all options)
      ",
        "out": "",
      }
    `);
  });

  test('a value that is not a number', async () => {
    expect(await sample('none', '--count', 'many')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--count <n>' argument 'many' is invalid. A whole number from 1 is needed, such as 5 or 8Ki.
      (add --help for all options)
      ",
        "out": "",
      }
    `);
  });

  test('an unknown sampler', async () => {
    expect(await sample('none', '--sampler', 'dpm')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--sampler <name>' argument 'dpm' is invalid. Allowed choices are ddpm, ddim, euler, midpoint, heun, heun3, rk4, dopri5, sde-euler, sde-heun, dpm++2m, dpm++2m-sde.
      (add --help for all options)
      ",
        "out": "",
      }
    `);
  });

  test('an unknown precision', async () => {
    expect(await sample('none', '--precision', 'int4')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--precision <name>' argument 'int4' is invalid. Allowed choices are f32, int8.
      (add --help for all options)
      ",
        "out": "",
      }
    `);
  });

  test('a sampler of another objective', async () => {
    expect(await sample('none', '--sampler', 'ddpm')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: sampler ddpm: the model has a flow objective, which this sampler does not support
        fix: use euler, midpoint, heun, heun3, rk4, dopri5, sde-euler, sde-heun, dpm++2m or dpm++2m-sde
      ",
        "out": "",
      }
    `);
  });

  test('an option of another sampler', async () => {
    expect(await sample('none', '--sampler', 'dpm++2m', '--eta', '0.5')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: sampler dpm++2m: it has no option --eta (given: 0.5)
        fix: leave --eta out, or use dpm++2m-sde
      ",
        "out": "",
      }
    `);
  });

  test('the negation of an option of another sampler', async () => {
    const { err } = await sample('none', '--sampler', 'dpm++2m', '--no-clip');
    expect(err).toContain('it has no option --no-clip (given: false)\n  fix: leave --no-clip out');
  });

  test('guidance between times that no step is at', async () => {
    expect(await sample('none', '--cfg-interval', '100,900')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: cfg interval: no step begins from 100 to 900: the 2 steps are at 0 to 0.25
        fix: take more steps, widen the interval, or use cfg scale 1
      ",
        "out": "",
      }
    `);
  });

  test('times that are none', async () => {
    expect(await sample('none', '--cfg-interval', '0.5')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--cfg-interval <lo,hi>' argument '0.5' is invalid. Two numbers are needed, such as 0.1,0.9.
      (add --help for all options)
      ",
        "out": "",
      }
    `);
  });

  test('steps that are none', async () => {
    expect(await sample('none', '--steps', '0')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: sampling: steps is 0
        fix: use 1 or more
      ",
        "out": "",
      }
    `);
  });

  test('a checkpoint that is not there', async () => {
    const path = join(run, 'checkpoints', 'step-0000030.safetensors');
    expect(await udit('sample', path)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "CheckpointError: ROOT/my run/checkpoints/step-0000030.safetensors: there is no such file
        fix: did you mean ROOT/my run/checkpoints/step-0000010.safetensors?
      ",
        "out": "",
      }
    `);
  });

  test('a file of another format', async () => {
    const path = join(root, 'notes.safetensors');
    await writeFile(path, 'not a checkpoint');
    expect(await udit('sample', path)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^CheckpointError: /),
    });
  });

  test('weights that do not fit what the file says it is', async () => {
    const path = join(root, 'misfit.safetensors');
    const wider = cardMetadata(tinyCard({ spec: tinySpec({ width: 16 }) }));
    await writeSafetensors(path, randomWeights(tinySpec(), 1), wider);
    expect(await udit('sample', path)).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "CheckpointError: ROOT/misfit.safetensors: does not fit U-DiT-XS: 11 keys match, 0 missing, 0 unexpected, 250 misshapen
        misshapen  x_embedder.proj.weight: file [8,3,3,3], model [16,3,3,3]
                   x_embedder.proj.bias: file [8], model [16]
                   t_embedder_1.mlp.0.weight: file [8,256], model [16,256]
                   t_embedder_1.mlp.0.bias: file [8], model [16]
                   t_embedder_1.mlp.2.weight: file [8,8], model [16,16]
                   t_embedder_1.mlp.2.bias: file [8], model [16]
                   … and 244 more
        fix: the file has another size of this model: choose its preset and options instead of U-DiT-XS
      ",
        "out": "",
      }
    `);
  });

  test('an output folder that is a file', async () => {
    await writeFile(join(root, 'file'), '');
    expect(await sample('file')).toMatchObject({
      code: 1,
      err: expect.stringContaining('DataError: ROOT/file'),
    });
  });

  test('a stack trace is shown with --verbose only', async () => {
    expect((await sample('none', '--classes', 'newts', '--verbose')).err).toContain('    at ');
  });
});
