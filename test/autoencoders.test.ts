/** @file Files of autoencoders of other programs are opened by what they contain. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostTensor, hostTensor, type TensorMap } from '../src/core/host-tensor.ts';
import { randomKey } from '../src/core/random.ts';
import { readEmojiCatalogue } from '../src/data/datasets/emoji-catalogue-node.ts';
import { drawEmoji } from '../src/data/datasets/emoji-node.ts';
import { splitHeldOut } from '../src/data/datasets/split.ts';
import { writeModelValues } from '../src/data/images/pixels.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { graphOf } from '../src/engine/graph/graph.ts';
import type { Unlabelled } from '../src/engine/graph/tensor.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { writeSafetensors } from '../src/formats/file-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { AutoencoderKL } from '../src/networks/autoencoders/autoencoder-kl.ts';
import { TAESD_PRESETS } from '../src/networks/autoencoders/presets.ts';
import { Taesd } from '../src/networks/autoencoders/taesd.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { traceNetwork } from '../src/networks/trace.ts';
import { formatResult } from '../tools/parity/report.ts';
import { checkFixture } from '../tools/parity/run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-autoencoders-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, tensors: TensorMap): Promise<string> {
  const path = join(folder, name);
  await writeSafetensors(path, tensors, {});
  return path;
}

const renamed = (tensors: TensorMap, rename: (name: string) => string | undefined): TensorMap =>
  new Map(
    [...tensors].flatMap(([name, tensor]) => {
      const other = rename(name);
      return other === undefined ? [] : [[other, tensor]];
    }),
  );

/** Names in their order, shapes and bytes; `toEqual` takes seconds for so many numbers. */
function expectSameWeights(actual: TensorMap, expected: TensorMap): void {
  const described = (tensors: TensorMap) =>
    [...tensors].map(([name, { shape, data }]) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [name, shape, createHash('sha256').update(bytes).digest('hex')];
    });
  expect(described(actual)).toEqual(described(expected));
}

const openAutoencoder = (path: string) => openModel(path, { role: 'autoencoder' });

describe('AutoencoderKL', () => {
  const network = new AutoencoderKL({
    inputSize: 256,
    inChannels: 3,
    latentChannels: 3,
    factor: 2,
    levelChannels: [32, 64],
    layersPerLevel: 1,
    normGroups: 32,
    midAttention: true,
    quantConv: true,
  });
  const weights = initialise(network, network.initRule, randomKey(1));

  test('is recognised, and so are the names of attention before 2023', async () => {
    const deprecated = renamed(weights, (name) =>
      name
        .replace('.to_q.', '.query.')
        .replace('.to_k.', '.key.')
        .replace('.to_v.', '.value.')
        .replace('.to_out.0.', '.proj_attn.'),
    );
    for (const tensors of [weights, deprecated, renamed(weights, (name) => `first_stage.${name}`)]) {
      const saved = await openAutoencoder(await write('kl.safetensors', tensors));
      expect(saved.card.spec).toEqual({ family: 'AutoencoderKL', config: network.config });
      expect(saved.card.space).toEqual({ kind: 'latents', autoencoder: '', factor: 2, scale: 1, shift: 0 });
      expectSameWeights(saved.weights, weights);
      expect(saved.findings).toMatchInlineSnapshot(`
        [
          [
            "autoencoder",
            "AutoencoderKL, recognised by the shapes of its tensors",
          ],
          [
            "assumed",
            "inputSize 256, normGroups 32, latents with scale 1 and shift 0",
          ],
        ]
      `);
    }
  });

  test('is no denoiser, and a denoiser is no autoencoder', async () => {
    const path = await write('kl.safetensors', weights);
    const described = (error: unknown) => String(error).replaceAll(folder, '');
    expect(await openModel(path).catch(described)).toMatchInlineSnapshot(`
      "ConfigError: /kl.safetensors: this file is an autoencoder; a denoiser is needed
        fix: give a file of a denoiser, or use this one as in npx udit encode PICTURES --autoencoder /kl.safetensors --out LATENTS"
    `);
    const denoiser = await write(
      'udit.safetensors',
      new Map([['x_embedder.proj.weight', hostTensor('f32', [1], Float32Array.of(1))]]),
    );
    expect(await openAutoencoder(denoiser).catch(described)).toMatchInlineSnapshot(`
      "ConfigError: /udit.safetensors: this file is a denoiser; an autoencoder is needed
        fix: give a file of an autoencoder, or use this one as in npx udit sample /udit.safetensors"
    `);
    const other = await write(
      'other.safetensors',
      new Map([['w', hostTensor('f32', [1], Float32Array.of(1))]]),
    );
    expect(await openAutoencoder(other).catch(described)).toMatchInlineSnapshot(`
      "CheckpointError: /other.safetensors: a safetensors file of 1 tensors, but none of them is the first of an encoder (…encoder.conv_in.weight or …encoder.layers.0.weight)
        tensors  w
        fix: give a checkpoint of AutoencoderKL or TAESD"
    `);
  });
});

describe('TAESD', () => {
  const config = { ...TAESD_PRESETS.TAEF2!, width: 8, latentChannels: 2 };
  const network = new Taesd(config);
  const weights = initialise(network, network.initRule, randomKey(2));
  const half = (name: string) =>
    renamed(weights, (key) => (key.startsWith(`${name}.`) ? key.slice(name.length + 1) : undefined));

  test('is opened from a file of diffusers', async () => {
    const diffusers = renamed(weights, (key) =>
      key
        .replace(/^encoder\./, 'encoder.layers.')
        .replace(/^decoder\.(\d+)/, (_, index: string) => `decoder.layers.${Number(index) - 1}`),
    );
    const saved = await openAutoencoder(await write('tiny.safetensors', diffusers));
    expect(saved.card.spec).toEqual({ family: 'TAESD', config });
    expectSameWeights(saved.weights, weights);
  });

  test('is opened from either of two files', async () => {
    const paths = [
      await write('tiny_encoder.safetensors', half('encoder')),
      await write('tiny_decoder.safetensors', half('decoder')),
    ];
    for (const path of paths) expectSameWeights((await openAutoencoder(path)).weights, weights);
  });

  test('needs the other half beside it', async () => {
    const path = await write('alone_encoder.safetensors', half('encoder'));
    const nameless = join(folder, 'nameless.safetensors');
    await rename(await write('y_decoder.safetensors', half('decoder')), nameless);
    const described = (error: unknown) => String(error).replaceAll(folder, '');
    expect(await openAutoencoder(path).catch(described)).toMatchInlineSnapshot(`
      "CheckpointError: /alone_encoder.safetensors: it holds the encoder of an autoencoder alone, and alone_decoder.safetensors is not beside it
        fix: put the decoder beside it, with the same name but for encoder and decoder"
    `);
    expect(await openAutoencoder(nameless).catch(described)).toMatchInlineSnapshot(`
      "CheckpointError: /nameless.safetensors: it holds the decoder of an autoencoder alone
        fix: put the encoder beside it, with the same name but for decoder and encoder"
    `);
  });
});

test('the bundled autoencoder gives back pictures that it was not trained on', async () => {
  const { network, weights, card } = await openAutoencoder('emoji-3d-autoencoder');
  expect(card.space).toMatchObject({ autoencoder: 'emoji-3d-autoencoder', factor: 4 });
  const side = 128;
  const [batch, size] = [4, { height: side, width: side }];
  const x = await heldOutPictures(batch, side);
  const { latents, images } = traceNetwork(network, { batch, size }).outputs;
  const run = async (outputs: Record<string, Unlabelled>, inputs: TensorMap) => {
    const session = await compileInference(graphOf(outputs), weights, cpuBackend);
    const values = await session.run(inputs);
    await session.release();
    return values;
  };
  const encoded = await run({ latents: latents! }, new Map([['x', x]]));
  const decoded = await run({ images: images! }, new Map([['z', encoded.get('latents')!]]));
  const errors = (decoded.get('images')!.data as Float32Array).map((value, i) => (value - x.data[i]!) ** 2);
  const meanError = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  // Peak signal-to-noise ratio in decibels: from black to white there are 2.
  expect(10 * Math.log10(4 / meanError)).toBeGreaterThan(28);
});

/** Of the rendered emoji, as many and of this side: f32 [N, 3, side, side] in [−1, 1]. */
async function heldOutPictures(count: number, side: number): Promise<HostTensor<'f32'>> {
  const { emojis, classNames } = await readEmojiCatalogue('fluent-3d');
  const { heldOut } = splitHeldOut({
    ...{ name: 'emoji-3d', classNames, shape: [3, side, side], space: { kind: 'pixels' } },
    length: emojis.length,
    labels: Int32Array.from(emojis, ({ label }) => label),
    sampleNames: emojis.map(({ stem }) => stem),
    read: () => expect.fail('names alone are looked at'),
  });
  const stems = heldOut.sampleNames.filter((_, i) => i % Math.floor(heldOut.length / count) === 0);
  const pixels = 3 * side * side;
  const data = new Float32Array(count * pixels);
  for (const [i, stem] of stems.slice(0, count).entries()) {
    const { path } = emojis.find((emoji) => emoji.stem === stem)!;
    const picture = await drawEmoji(path, side, 'fluent-3d')
      .flatten({ background: '#ffffff' })
      .raw()
      .toBuffer();
    const image = { width: side, height: side, channels: 3, data: picture } as const;
    writeModelValues(image, data.subarray(i * pixels, (i + 1) * pixels), false);
  }
  return hostTensor('f32', [count, 3, side, side], data);
}

/** A folder of published weights that is not part of this project, beside it or above. */
function findShared(from = dirname(fileURLToPath(import.meta.url))): string | undefined {
  const shared = join(from, 'shared');
  if (existsSync(join(shared, 'weights', 'taef2_encoder.pth'))) return shared;
  return dirname(from) === from ? undefined : findShared(dirname(from));
}

const shared = findShared();

test.skipIf(shared === undefined).each([
  ['published weights of TAEF2 on real pictures', 'taef2_real'],
  ['two levels of 16 and 32 channels', 'tiny_16_32'],
])('%s, where the fixtures that were left out are at hand', async (_, name) => {
  const fixtures = join(shared!, 'fixtures');
  const result = await checkFixture(join(fixtures, 'vae', `${name}.json`), fixtures, cpuBackend);
  expect(result.status, formatResult(result)).toBe('passed');
});
