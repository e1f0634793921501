/** @file `udit inspect` from the command line: tables, JSON, drawings, and what it refuses. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit inspect '));
  await mkdir(join(root, 'run', 'checkpoints'), { recursive: true });
  await writeTinyCheckpoint(join(root, 'run', 'checkpoints', 'step-0000010.safetensors'), tinyCard());
});
afterAll(() => rm(root, { recursive: true }));

const inspect = (...args: readonly string[]): Promise<Outcome> => runUdit(['inspect', ...args], root);

async function inspectAsJson(...args: readonly string[]) {
  const { code, out, err } = await inspect(...args, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out);
}

test('a preset', async () => {
  const { code, out, err } = await inspect('U-DiT-S');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatchInlineSnapshot(`
    "U-DiT-S (U-DiT): 4×32×32 → 8×32×32, 1000 classes

    stage         map  width  heads  blocks  parameters  attention  linear  convolution  GMACs
    condition       –      –      –       –   1,039,584          –   0.000            –  0.000
    stem        32×32     96      –       –       3,552          –       –        0.004  0.004
    encoder 1   32×32     96      4       2     634,768      0.201   0.113        0.218  0.533
    encoder 2   16×16    192      4       5   6,164,392      0.063   0.285        0.551  0.899
    bottleneck    8×8    384      4       8  38,633,536      0.013   0.467        0.827  1.307
    decoder 2   16×16    192      4       5   8,851,048      0.063   0.285        0.697  1.046
    decoder 1   32×32    192      4       2   3,149,776      0.403   0.454        1.022  1.878
    output      32×32    192      –       –     419,912          –   0.000        0.354  0.354
    total                                22  58,896,568      0.742   1.606        3.673  6.021
    GMACs: billions of multiply-accumulates for one image (the papers’ “GFLOPs”), with parallel convolutions merged.

                merged for drawing  as trained
    parameters          52,045,240  58,896,568
    GMACs                    6.021       7.129

    Activations of one image in float32, from where they are computed to where they are last read; without weights:
    drawing, most at once              5.5 MB
    training, most at once           270.7 MB
    training, kept for the gradient  269.9 MB

    Scores and values of attention; if full: every token attends to every other, 2·T²·D per layer:
    stage       tokens   groups  keys  GMACs  if full  all groups  one group
    encoder 1    1,024  4 × 256   256  0.201    0.805         1/4       1/16
    encoder 2      256   4 × 64    64  0.063    0.252         1/4       1/16
    bottleneck      64   4 × 16    16  0.013    0.050         1/4       1/16
    decoder 2      256   4 × 64    64  0.063    0.252         1/4       1/16
    decoder 1    1,024  4 × 256   256  0.403    1.611         1/4       1/16
    total                              0.742    2.970         1/4

    Beside the published model of the other shape that costs about as much:
               GMACs  attention  share  keys of a query
    U-DiT-S    6.021      0.742   12 %      256, 64, 16
    … if full  8.248      2.970   36 %   1,024, 256, 64
    DiT-S/2    6.056      0.604   10 %              256
    "
  `);
});

test('a model of one width has nothing to gain from less than full attention', async () => {
  const { out } = await inspect('DiT-B/4', '--batch-size', '4');
  expect(out).toMatchInlineSnapshot(`
    "DiT-B/4 (DiT): 4×32×32 → 8×32×32, 1000 classes

    stage      map  width  heads  blocks   parameters  attention  linear  convolution  GMACs
    condition    –      –      –       –    1,556,736          –   0.001            –  0.001
    patches    8×8    768      –       –       99,072          –       –        0.003  0.003
    blocks     8×8    768     12      12  127,540,224      0.075   5.478            –  5.554
    output     8×8    768      –       –    1,279,616          –   0.007            –  0.007
    total                             12  130,475,648      0.075   5.487        0.003  5.565
    GMACs: billions of multiply-accumulates for one image (the papers’ “GFLOPs”), with parallel convolutions merged.

                merged for drawing   as trained
    parameters         130,475,648  130,475,648
    GMACs                    5.565        5.565

    Activations of 4 images in float32, from where they are computed to where they are last read; without weights:
    drawing, most at once              7.9 MB
    training, most at once           212.5 MB
    training, kept for the gradient  201.4 MB

    Scores and values of attention; if full: every token attends to every other, 2·T²·D per layer:
    stage   tokens  groups  keys  GMACs  if full  all groups  one group
    blocks      64  1 × 64    64  0.075    0.075           1          1
    total                         0.075    0.075           1

    Beside the published model of the other shape that costs about as much:
             GMACs  attention  share  keys of a query
    DiT-B/4  5.565      0.075    1 %               64
    U-DiT-S  6.021      0.742   12 %      256, 64, 16
    "
  `);
});

test('options of a preset', async () => {
  const { spec } = await inspectAsJson(
    ...['U-DiT-B', '--image-size', '512', '--num-classes', '10', '--set', 'model.width=64'],
  );
  expect(spec).toMatchObject({
    family: 'U-DiT',
    config: { inputSize: 64, numClasses: 10, width: 64, heads: 8 },
  });
});

test('a run and its checkpoint are the same model', async () => {
  const fromRun = await inspectAsJson(join(root, 'run'));
  const fromFile = await inspectAsJson(join(root, 'run', 'checkpoints', 'step-0000010.safetensors'));
  expect(fromRun).toEqual(fromFile);
  expect(fromRun).toMatchObject({ name: 'U-DiT-XS', spec: { config: { inputSize: 8, width: 8 } } });
});

test('a configuration is the model that training by it would have', async () => {
  const path = join(root, 'mine.json');
  const config = { model: { preset: 'DiT-S/4', depth: 3, numClasses: 7 }, data: { imageSize: 64 } };
  await writeFile(path, JSON.stringify({ ...config, objective: { kind: 'flow' } }));
  const { name, spec } = await inspectAsJson(path, '--set', 'model.heads=4');
  expect(name).toBe('DiT-S/4');
  expect(spec.config).toMatchObject({
    ...{ depth: 3, heads: 4, numClasses: 7 },
    // As pictures and the objective need it.
    ...{ inputSize: 64, inChannels: 3, learnSigma: false },
  });
  expect((await inspectAsJson(path, '--image-size', '16')).spec.config.inputSize).toBe(16);
});

test('a size is one of pictures, whatever the network sees of them', async () => {
  const { out } = await inspect('U-DiT-S', '--image-size', '256');
  expect(out).toBe((await inspect('U-DiT-S')).out); // 6.02 GMACs, the paper's
  expect(await inspect('U-DiT-S', '--latent-size', '32')).toMatchObject({ code: 0, out });
  expect((await inspect('DiT-S/2', '--image-size', '384x256')).out).toContain('4×48×32 → 8×48×32');
  const path = join(root, 'latents.json');
  const data = { kind: 'latents', path: 'encoded' };
  await writeFile(path, JSON.stringify({ model: { preset: 'DiT-S/4', depth: 2, inputSize: 16 }, data }));
  const sideOf = async (...flags: readonly string[]) =>
    (await inspectAsJson(path, ...flags)).spec.config.inputSize;
  expect([await sideOf(), await sideOf('--image-size', '64')]).toEqual([16, 8]);
});

test('a trained model at another size: its maps grow, its parameters do not', async () => {
  const run = join(root, 'run');
  const [trained, tall] = [await inspectAsJson(run), await inspectAsJson(run, '--image-size', '16x8')];
  expect(tall.spec).toEqual(trained.spec);
  expect(tall.inspection.size).toEqual({ height: 16, width: 8 });
  expect(tall.inspection.parameters).toEqual(trained.inspection.parameters);
  expect(tall.inspection.stages.at(-1).map).toEqual({
    ...trained.inspection.stages.at(-1).map,
    height: 16,
    width: 8,
  });
  expect(await inspect(run, '--image-size', '16x8')).toMatchObject({
    code: 0,
    out: expect.stringContaining('3×16×8 → 3×16×8'),
  });
  expect((await inspect('DiT-S/2', '--latent-size', '48x32')).out).toContain('4×48×32 → 8×48×32');
});

test('a drawing is a whole file beside the table', async () => {
  const path = join(root, 'drawing.svg');
  const { code, out } = await inspect('U-DiT-XS', '--svg', path);
  expect(code).toBe(0);
  expect(out).toContain('drawn in ROOT/drawing.svg\n');
  expect(await sharp(await readFile(path)).metadata()).toMatchObject({ format: 'svg' });
  expect((await readdir(root)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('frequencies at another size than that of the training are an error', async () => {
  expect(await inspect('--spectrum', 'spectrum.svg', '--image-size', '48x32')).toMatchInlineSnapshot(`
    {
      "code": 2,
      "err": "ConfigError: --spectrum: frequencies are measured at the size of the training, but --image-size is 48x32
      fix: leave --image-size out
    ",
      "out": "",
    }
  `);
});

test('flags of the spectrum without it are an error', async () => {
  const { code, err } = await inspect('U-DiT-S', '--pictures', '3');
  expect(code).toBe(2);
  expect(err).toContain('--pictures belongs to --spectrum, which is not given');
});

test('the spectrum of a run is measured, told and drawn', async () => {
  const { code, out } = await inspect(
    join(root, 'run'),
    '--spectrum',
    join(root, 'new', 'spectrum'),
    '--pictures',
    '3',
  );
  expect(code).toBe(0);
  expect(out).toMatch(/noisy input +8×8 +\d+ % +\d+ % +\d+ % +\d+ % +\d+ %\n/);
  expect(out).toContain('drawn in ROOT/new/spectrum.svg\ndrawn in ROOT/new/spectrum.png\n');
  const { width = 0, height = 0 } = await sharp(join(root, 'new', 'spectrum.png')).metadata();
  expect(width).toBeGreaterThan(height);

  const svg = join(root, 'spectrum.svg');
  const read = () => inspectAsJson(join(root, 'run'), '--spectrum', svg, '--pictures', '3');
  const { spectrum } = await read();
  expect(spectrum).toMatchObject({ pictures: 3, seed: 0, files: ['ROOT/spectrum.svg'] });
  expect(spectrum.stages.map(({ name }: { readonly name: string }) => name)).toEqual([
    ...['noisy input', 'stem', 'encoder 1', 'encoder 2', 'bottleneck', 'decoder 2', 'decoder 1'],
  ]);
  expect((await read()).spectrum).toEqual(spectrum);
});

describe('refuses', () => {
  test('the spectrum of a preset, which has no weights', async () => {
    expect(await inspect('DiT-S/2', '--spectrum', 'spectrum.svg')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --spectrum: DiT-S/2 has no weights, but the features of trained weights are measured
        fix: give a run folder or a checkpoint, or no model for the bundled one
      ",
        "out": "",
      }
    `);
  });
  test('a spectrum in a format that it is not drawn in', async () => {
    expect(await inspect(join(root, 'run'), '--spectrum', 'spectrum.pdf')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --spectrum: "spectrum.pdf" ends in .pdf
        fix: use a name that ends in .svg or .png, or in neither for both
      ",
        "out": "",
      }
    `);
  });
  test('a preset that does not exist', async () => {
    expect(await inspect('udit-s')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: preset: there is no preset "udit-s"
        U-DiT      XS T S B L
        DiT        UNet S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-UNet   Slim KV
        SiT        S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-LLaMA  B/4 L/4 XL/2 XL/4
        SiT-LLaMA  S/2 B/2 L/2 XL/2
        fix: did you mean U-DiT-S?
      ",
        "out": "",
      }
    `);
  });
  test('an option that does not exist', async () => {
    expect(await inspect('U-DiT-S', '--set', 'model.widht=3')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: configuration: unknown key model.widht
        fix: did you mean model.width?
      ",
        "out": "",
      }
    `);
  });
  test('a key that is not the model’s', async () => {
    expect(await inspect('U-DiT-S', '--set', 'optimizer.clipNorm=3')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --set: optimizer is no part of the model
        fix: set a key of model, as in --set model.width=48
      ",
        "out": "",
      }
    `);
  });
  test('a configuration that cannot work', async () => {
    expect(await inspect('U-DiT-S', '--latent-size', '30')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: U-DiT: input size 30 is not a multiple of 4, for maps are halved twice
        fix: use input size 32
      ",
        "out": "",
      }
    `);
  });
  test('sizes in latents of models of pixels, pictures that have no latents, and two sizes', async () => {
    expect((await inspect('U-DiT-XS', '--latent-size', '32')).err).toMatchInlineSnapshot(`
      "ConfigError: --latent-size: latents of 32 are requested, but U-DiT-XS is a model of pixels
        fix: use --image-size 32
      "
    `);
    expect((await inspect(join(root, 'run'), '--latent-size', '8')).err).toMatchInlineSnapshot(`
      "ConfigError: --latent-size: latents of 8 are requested, but U-DiT-XS is a model of pixels
        fix: use --image-size 8
      "
    `);
    expect((await inspect('U-DiT-S', '--image-size', '250')).err).toMatchInlineSnapshot(`
      "ConfigError: --image-size: 250 is not a multiple of 8, the factor between pictures and latents
        fix: use 256
      "
    `);
    expect(
      (await inspect('U-DiT-S', '--image-size', '256', '--latent-size', '32')).err,
    ).toMatchInlineSnapshot(`
      "error: option '--latent-size <size>' cannot be used with option '--image-size <size>'
      (add --help for all options)
      "
    `);
  });
  test('to change a trained model', async () => {
    expect(await inspect(join(root, 'run'), '--num-classes', '16')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/run/checkpoints/step-0000010.safetensors: the options of a trained model cannot be changed
        fix: give its preset instead, as in npx udit inspect U-DiT-XS
      ",
        "out": "",
      }
    `);
  });
  test('a file that is not there', async () => {
    expect(await inspect(join(root, 'absent.json'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/absent.json: cannot be read: ENOENT: no such file or directory, open 'ROOT/absent.json'
        fix: check the path
      ",
        "out": "",
      }
    `);
    expect(await inspect(join(root, 'absent.safetensors'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "CheckpointError: ROOT/absent.safetensors: there is no such file
        fix: check the path
      ",
        "out": "",
      }
    `);
  });
  test('to draw where a file is in the way', async () => {
    await writeFile(join(root, 'a file'), '');
    expect(await inspect('--svg', join(root, 'a file', 'drawing.svg'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/a file: there is a file where a folder is needed
        fix: choose another place with --svg
      ",
        "out": "",
      }
    `);
  });
  test('a path without an ending that leads to nothing', async () => {
    expect(await inspect(join(root, 'runs', 'nosuch'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "CheckpointError: ROOT/runs/nosuch: there is no such file
        fix: check the path
      ",
        "out": "",
      }
    `);
    expect((await inspect('DiT-S/9')).err).toContain('did you mean DiT-S/2?');
  });
});
