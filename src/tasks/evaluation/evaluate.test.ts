import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseHTML } from 'linkedom/worker';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { npzOf } from '../../../test/support/npz.ts';
import { tinyAutoencoder } from '../../../test/support/tiny-autoencoder.ts';
import { type HostTensor, hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { randomIntegers, randomKey } from '../../core/random.ts';
import { openImageFolder } from '../../data/datasets/image-folder-node.ts';
import { openLatents } from '../../data/datasets/latents/open-latents-node.ts';
import { loadBatch } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { frechetDistance } from '../../metrics/frechet.ts';
import { featureStatistics } from '../../metrics/moments.ts';
import { latentsOf } from '../../models/latent-kinship.ts';
import { DINOv2 } from '../../networks/features/dinov2.ts';
import { initialise } from '../../networks/nn/initialise.ts';
import { encodePictures } from '../encoding/encode-node.ts';
import { openPictures as openPicturesToEncode } from '../encoding/picture-files-node.ts';
import { createDecoder } from '../sampling/latent-decoder.ts';
import { type EvaluationRequest, evaluate, type NamedExtractor } from './evaluate-node.ts';
import { createExtractor } from './extractor.ts';
import type { StoredLatents } from './latent-pictures.ts';
import { openArchive, openPictureFolder } from './open-pictures-node.ts';
import { METRIC_NAMES } from './scores.ts';

const SIDE = 16;
let root: string;

/** Random pictures u8 [count, side, side, 3], darker towards the bottom by `slope`. */
function pictures(seed: number, count: number, side = SIDE, slope = 0): HostTensor<'u8'> {
  const size = count * side * side * 3;
  const noise = randomIntegers(randomKey(seed), size, 128);
  const data = Uint8Array.from(noise, (value, i) => value + slope * (Math.floor(i / (side * 3)) % side));
  return hostTensor('u8', [count, side, side, 3], data);
}

async function writeArchive(name: string, arrays: Readonly<Record<string, HostTensor>>): Promise<string> {
  const path = join(root, name);
  await writeFileAtomic(path, [await npzOf(new Map(Object.entries(arrays)))]);
  return path;
}

async function writeFolder(name: string, { shape, data }: HostTensor<'u8'>, ending = 'png'): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  const [count, height, width] = shape as [number, number, number];
  const bytes = height * width * 3;
  for (let i = 0; i < count; i++) {
    const raw = { height, width, channels: 3 } as const;
    const file = join(folder, `${String(i).padStart(6, '0')}.${ending}`);
    await sharp(data.subarray(i * bytes, (i + 1) * bytes), { raw }).toFile(file);
  }
  return folder;
}

const network = new DINOv2({
  ...{ inputSize: 4, inChannels: 3, patchSize: 2, width: 8, depth: 1, heads: 2, positions: 2 },
});
const extractor: NamedExtractor = {
  name: 'tiny',
  identity: 'tiny, seed 3',
  saved: { network, weights: initialise(network, network.initRule, randomKey(3)) },
};

const COUNT = 30;
let real: string;
let drawn: string;
const request = (changes: Partial<EvaluationRequest> = {}): EvaluationRequest => ({
  ...{ reference: real, samples: drawn, metrics: METRIC_NAMES, extractor, backend: cpuBackend, folder: null },
  ...{ frechetName: 'FD-tiny', ...changes },
});

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit evaluation '));
  real = await writeFolder('real', pictures(1, COUNT, SIDE, 4));
  drawn = await writeArchive('drawn.npz', { arr_0: pictures(2, 20) });
});
afterAll(() => rm(root, { recursive: true }));

describe('a folder and an archive', () => {
  test('are compared by every metric that the network allows, and what is left out is told', async () => {
    const { scores, omitted, reference, samples, provenance } = await evaluate(request());
    expect(scores.map(({ label }) => label)).toEqual([
      ...['FD-tiny-20', 'precision', 'recall', 'density', 'coverage', 'KID-20', 'MIND-20', 'SWD-20'],
    ]);
    for (const { value } of scores) expect(Number.isFinite(value)).toBe(true);
    expect(omitted).toEqual([
      ['sfid', `there are no statistics of spatial of ${real}`],
      ['is', 'the network has no classes'],
    ]);
    expect([reference.kind, reference.count, samples.kind, samples.count]).toEqual([
      'folder',
      30,
      'archive',
      20,
    ]);
    expect(reference.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(provenance).toMatchObject({ extractor: 'tiny, seed 3', k: 3, split: 5000, resize: null });
  });

  test('have the distance of their features', async () => {
    const featuresOf = async (path: string) => {
      const source = await (path.endsWith('.npz') ? openArchive(path) : openPictureFolder(path));
      const run = await createExtractor(extractor.saved, source.size, { backend: cpuBackend, batch: 50 });
      const values: number[] = [];
      for await (const batch of source.batches(0))
        values.push(...(await run.extract(batch)).get('features')!.data);
      await Promise.all([run.release(), source.close()]);
      return featureStatistics(values, 8);
    };
    const expected = frechetDistance(await featuresOf(real), await featuresOf(drawn));
    const { scores } = await evaluate(request({ metrics: ['fid'], batch: 7 }));
    expect(scores[0]!.value / expected).toBeCloseTo(1, 5);
  });

  test('give the same with any batch, with several workers, and as an archive or a folder', async () => {
    const metrics = ['fid', 'pr', 'mind'] as const;
    const { scores, samples } = await evaluate(request({ metrics }));
    const folder = await writeFolder('drawn', pictures(2, 20));
    for (const changes of [{ batch: 3 }, { workers: 2, batch: 8 }, { samples: folder }]) {
      const other = await evaluate(request({ metrics, ...changes }));
      expect(other.samples.hash).toBe(samples.hash);
      for (const [i, { value }] of scores.entries()) expect(other.scores[i]!.value).toBeCloseTo(value, 4);
    }
  });

  test('need no network for SWD', async () => {
    const { scores, omitted } = await evaluate(request({ metrics: ['swd'], extractor: undefined }));
    expect([scores.length, omitted]).toEqual([1, []]);
  });
});

describe('extracted features are kept', () => {
  test('and a run that was stopped goes on with them', async () => {
    const folder = join(root, 'kept');
    const archive = await writeArchive('many.npz', { arr_0: pictures(5, 600, SIDE) });
    const stop = new AbortController();
    const seen: string[] = [];
    const run = (changes: Partial<EvaluationRequest>) =>
      evaluate(request({ ...{ samples: archive, metrics: ['fid'], folder }, ...changes }));
    await expect(
      run({
        signal: stop.signal,
        onProgress: (side, done) => {
          seen.push(side);
          if (side === archive && done === 512) stop.abort(new Error('stopped'));
        },
      }),
    ).rejects.toThrowError('stopped');
    const parts = async () =>
      (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.safetensors'));
    expect((await parts()).length).toBe(2);
    const first = await run({});
    expect((await parts()).length).toBe(3);
    // A network of the same name that fails at once: it is not asked again.
    const failing = { ...extractor, saved: { ...extractor.saved, weights: nanWeights() } };
    expect((await run({ extractor: failing })).scores).toEqual(first.scores);
  });

  const nanWeights = () =>
    new Map(
      [...extractor.saved.weights].map(([name, { shape, data }]) => [
        name,
        hostTensor(
          'f32',
          shape,
          (data as Float32Array).map(() => Number.NaN),
        ),
      ]),
    );

  test('but not those of weights that give no numbers', async () => {
    const failing = {
      ...extractor,
      identity: 'broken',
      saved: { ...extractor.saved, weights: nanWeights() },
    };
    await expect(
      evaluate(request({ metrics: ['fid'], extractor: failing })),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [NumericsError: NumericsError: extractor: features 0 of picture 0 of a batch is NaN
        fix: the weights are damaged or of another network: fetch them again]
    `);
  });
});

describe('latents', () => {
  const autoencoder = tinyAutoencoder();
  const openDecoder = async ({ name, shape: [inChannels, height, width], space }: StoredLatents) => ({
    decoder: await createDecoder(autoencoder, {
      drawn: { name, space: space ?? latentsOf(autoencoder.card), config: { inChannels } },
      size: { height, width },
      backend: cpuBackend,
    }),
    weights: 'tiny-kl, seed 1',
  });

  test('of encoded pictures and of an archive are those of the decoded pictures', async () => {
    const encoded = join(root, 'encoded');
    const [folder, backend] = [await writeFolder('to be encoded', pictures(11, 10, 16, 3)), cpuBackend];
    await encodePictures({
      ...{ source: await openPicturesToEncode(folder), out: encoded, autoencoder, backend, workers: 1 },
      ...{ size: { height: 16, width: 16 }, background: 'white' },
    });
    const { samples } = await openLatents(encoded, { flip: false });
    const indices = Array.from({ length: 10 }, (_, i) => i);
    const { x } = await loadBatch(samples, indices, null);
    const decoder = (
      await openDecoder({ name: 'x', shape: samples.shape, space: undefined } as StoredLatents)
    ).decoder;
    const decoded = await writeArchive('decoded.npz', { arr_0: toPixels(await decoder.decode(x)) });
    await decoder.release();
    const metrics = ['mind', 'swd'] as const;
    const expected = await evaluate(request({ samples: decoded, metrics }));
    const archive = await writeArchive('drawn-latents.npz', { arr_0: x });
    for (const of of [encoded, archive]) {
      const found = await evaluate(request({ samples: of, metrics, openDecoder, autoencoder: 'tiny-kl' }));
      expect(found.samples).toMatchObject({
        ...{ kind: 'latents', hash: expected.samples.hash },
        provenance: { decoder: 'tiny-kl, seed 1' },
      });
      expect(found.scores.map(({ value }) => value)).toEqual(expected.scores.map(({ value }) => value));
    }
    await expect(evaluate(request({ samples: archive }))).rejects.toThrowError('it holds latents');
    await expect(evaluate(request({ openDecoder, autoencoder: 'tiny-kl' }))).rejects.toThrowError(
      'neither side is of latents, so tiny-kl decodes nothing',
    );
  });
});

describe('statistics', () => {
  test('of a reference are stored, and stand for its pictures', async () => {
    const path = join(root, 'real.safetensors');
    const all = await evaluate(request({ metrics: ['fid', 'pr'], saveStatistics: path }));
    const { scores, omitted, reference } = await evaluate(
      request({ reference: path, metrics: ['fid', 'pr'] }),
    );
    expect(scores).toEqual([all.scores[0]]);
    expect(omitted).toEqual([['pr', `${path} has no pictures`]]);
    expect(reference).toMatchObject({ kind: 'statistics', count: COUNT, hash: all.reference.hash });
    const other = { ...extractor, identity: 'another network' };
    await expect(evaluate(request({ reference: path, extractor: other }))).rejects.toThrowError(
      'its statistics are of the network tiny, seed 3, the samples are measured with another network',
    );
  });

  test('of a single picture are not written', async () => {
    const [reference, path] = [
      await writeArchive('one.npz', { arr_0: pictures(3, 1) }),
      join(root, 'one.safetensors'),
    ];
    await expect(
      evaluate(request({ reference, metrics: ['fid'], saveStatistics: path })),
    ).rejects.toThrowError('has 1 picture, of which there is no covariance');
    expect(existsSync(path)).toBe(false);
    const { omitted } = await evaluate(request({ reference, metrics: ['fid'] }));
    expect(omitted).toEqual([['fid', `there are no statistics of features of ${reference}`]]);
  });

  test('in an archive of ADM come before those of its pictures', async () => {
    const mean = tensorOf('f64', [8], new Array(8).fill(0));
    const identity = tensorOf(
      'f64',
      [8, 8],
      Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)),
    );
    const both = await writeArchive('adm.npz', { arr_0: pictures(1, 10), mu: mean, sigma: identity });
    const alone = await writeArchive('adm-alone.npz', { mu: mean, sigma: identity });
    const whole = await evaluate(request({ reference: both, metrics: ['fid', 'mind'] }));
    const stored = await evaluate(request({ reference: alone, metrics: ['fid', 'mind'] }));
    expect(whole.scores[0]!.value).toBe(stored.scores[0]!.value);
    expect(stored.omitted.map(([metric]) => metric)).toEqual(['mind']);
  });
});

describe('the sheet', () => {
  test('shows the best and the worst samples above their nearest pictures of the reference', async () => {
    const base = pictures(1, 4, SIDE, 4);
    // A sample is a picture of the reference with one other pixel; the last one is unlike all.
    const data = base.data.slice();
    for (let i = 0; i < 4; i++) data[i * SIDE * SIDE * 3 + 5]! ^= 1;
    const red = [255, 0, 0];
    for (let at = 3 * SIDE * SIDE * 3; at < data.length; at++) data[at] = red[at % 3]!;
    const samples = await writeArchive('near.npz', { arr_0: hostTensor('u8', base.shape, data) });
    const reference = await writeArchive('four.npz', { arr_0: base });
    const sheet = join(root, 'sheet.png');
    await evaluate(request({ reference, samples, metrics: ['mind'], sheet }));
    const { data: pixels, info } = await sharp(sheet).raw().toBuffer({ resolveWithObject: true });
    const places = Array.from({ length: info.width * info.height }, (_, i) => i).filter((i) =>
      red.every((level, c) => pixels[3 * i + c] === level),
    );
    // The last of the four nearest and the first of the four farthest, 96 pixels wide, in the upper row of both.
    expect(places.length).toBe(2 * 96 * 96);
    const [rows, columns] = [
      places.map((i) => Math.floor(i / info.width)),
      places.map((i) => i % info.width),
    ];
    expect(Math.max(...rows) - Math.min(...rows)).toBe(95);
    expect(Math.max(...rows)).toBeLessThan(info.height - 96);
    const middle = info.width / 2;
    expect(Math.max(...columns.filter((column) => column < middle))).toBeGreaterThan(middle - 96);
    expect(Math.max(...columns)).toBeLessThan(info.width - 3 * 96);
  });

  test('needs pictures and a network', async () => {
    const sheet = join(root, 'none.png');
    const without = request({ extractor: undefined, metrics: ['swd'], sheet });
    await expect(evaluate(without)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --sheet: there is no network that describes the pictures
        fix: give pictures as the reference, and a network]
    `);
  });
});

describe('the plot', () => {
  test('marks precision against recall of the neighbours that are asked for', async () => {
    const plot = { stem: join(root, 'precision-recall'), formats: ['.svg', '.png'] } as const;
    const { scores } = await evaluate(request({ metrics: ['pr'], k: 4, plot }));
    const [precision, recall] = scores.map(({ value }) => value);
    const svg = parseHTML(await readFile(`${plot.stem}.svg`, 'utf8')).document;
    const titles = [...svg.querySelectorAll('text')].map(({ textContent }) => textContent);
    expect(titles).toEqual(expect.arrayContaining(['1 to 10 neighbours', 'k = 4']));
    // The last mark is that of the second series; a tick in the middle of each axis tells the scale.
    const placeOf = (mark: Element) =>
      /translate\(([-\d.]+),([-\d.]+)\)/.exec(mark.getAttribute('transform')!)!;
    const middle = (axis: 'x' | 'y') => {
      const ticks = [...svg.querySelectorAll(`[aria-label="${axis}-axis tick label"] text`)];
      const at = (value: string) =>
        Number(placeOf(ticks.find(({ textContent }) => textContent === value)!)[axis === 'x' ? 1 : 2]);
      return (share: number) => at('0') + share * (at('1') - at('0'));
    };
    const marks = [...svg.querySelectorAll('[aria-label="dot"]')].at(-1)!;
    const [, x, y] = placeOf(marks.querySelector('path')!).map(Number);
    expect(x).toBeCloseTo(middle('x')(recall!), 3);
    expect(y).toBeCloseTo(middle('y')(precision!), 3);
    expect((await sharp(`${plot.stem}.png`).metadata()).width).toBeGreaterThan(500);
  });

  test('needs more pictures than neighbours', async () => {
    const plot = { stem: join(root, 'none'), formats: ['.svg'] } as const;
    await expect(
      evaluate(request({ metrics: ['mind'], k: 20, plot })),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --plot: of 20 pictures none has a neighbour number 20
        fix: give more than 20 pictures, or lower --k]
    `);
  });
});

describe('doubts', () => {
  test('about few, equal and empty pictures are told', async () => {
    const { shape, data } = pictures(7, 6);
    const bytes = SIDE * SIDE * 3;
    data.copyWithin(0, bytes, 2 * bytes);
    data.fill(9, 2 * bytes, 3 * bytes);
    const samples = await writeArchive('odd.npz', { arr_0: hostTensor('u8', shape, data) });
    const { doubts } = await evaluate(request({ samples, metrics: ['fid'] }));
    expect(doubts.map((doubt) => doubt.replaceAll(root, 'ROOT'))).toMatchInlineSnapshot(`
      [
        "ROOT/odd.npz has 6 pictures for 8 features: the covariance has no full rank, and FID is far too high; MIND and KID need fewer",
        "ROOT/odd.npz holds 1 picture of one colour only",
        "ROOT/odd.npz holds 1 picture more than once",
      ]
    `);
  });

  test('about JPEG, shared pictures and an order by class', async () => {
    const jpeg = await writeFolder('jpeg', pictures(8, 12), 'jpg');
    const some = pictures(9, 12);
    const reference = await writeArchive('some.npz', { arr_0: some });
    const mixed = pictures(10, 12);
    mixed.data.set(some.data.subarray(0, 2 * SIDE * SIDE * 3));
    const labels = tensorOf('i64', [12], [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]);
    const samples = await writeArchive('sorted.npz', { arr_0: mixed, labels });
    const ofJpeg = await evaluate(request({ reference: jpeg, metrics: ['mind'] }));
    expect(ofJpeg.doubts.join()).toContain('12 of 12 pictures');
    const sorted = await evaluate(request({ reference, samples, metrics: ['is', 'mind'] }));
    expect(sorted.doubts.map((doubt) => doubt.replaceAll(root, 'ROOT'))).toMatchInlineSnapshot(`
      [
        "ROOT/sorted.npz shares 2 pictures with the reference",
        "the pictures of ROOT/sorted.npz are sorted by class: splits of the Inception Score then hold few classes each; the shuffled score is the one to compare",
      ]
    `);
    expect(sorted.samples.classes).toBe('3 classes, 6 + 3 + 3 pictures');
  });

  test('become an error where the samples are the reference', async () => {
    const again = await writeArchive('again.npz', { arr_0: pictures(1, COUNT, SIDE, 4) });
    await expect(evaluate(request({ samples: again, metrics: ['mind'] }))).rejects.toThrowError(
      '30 of its 30 pictures are pictures of the reference',
    );
  });
});

test('a reference of photographs is read as a training reads it, where that is asked for', async () => {
  const photos = join(root, 'photos');
  await mkdir(join(photos, 'cat'), { recursive: true });
  for (const [i, [width, height]] of [
    [40, 24],
    [16, 33],
  ].entries()) {
    const { data } = pictures(i, 1, 40);
    const raw = { raw: { width: width!, height: height!, channels: 4 as const } };
    await sharp(data.subarray(0, width! * height! * 4), raw)
      .png()
      .toFile(join(photos, 'cat', `${i}.png`));
  }
  const cropped = await openPictureFolder(photos, { height: SIDE, width: SIDE });
  const { value: seen } = await cropped.batches(0).next();
  const training = await openImageFolder(photos, { imageSize: SIDE, flip: false });
  expect(seen.data).toEqual(toPixels((await loadBatch(training, [0, 1], null)).x).data);
  const compared = { reference: photos, metrics: ['mind'] } as const;
  await expect(evaluate(request(compared))).rejects.toThrowError('--crop-reference');
  const { reference: side } = await evaluate(request({ ...compared, cropReference: true }));
  expect(side.provenance).toEqual({ prepared: '16x16 pixels, cropped and scaled as in training' });
  const archive = await writeArchive('not to be cropped.npz', { arr_0: pictures(1, 2) });
  await expect(
    evaluate(request({ ...compared, reference: archive, cropReference: true })),
  ).rejects.toThrowError('is no folder of pictures');
});

describe('sides that cannot be compared are refused', () => {
  test('pictures of another size, unless it is said how to resize', async () => {
    const samples = await writeArchive('large.npz', { arr_0: pictures(3, 20, 32) });
    await expect(evaluate(request({ samples, metrics: ['mind'] }))).rejects.toThrowError(
      'its pictures have 32x32 pixels',
    );
    const { samples: side } = await evaluate(request({ samples, metrics: ['mind'], resize: 'bicubic' }));
    expect(side.provenance).toEqual({ resized: "32x32 by Pillow's bicubic" });
  });

  test('a folder of several sizes, without pictures, or with a damaged one', async () => {
    const folder = await writeFolder('two sizes', pictures(1, 2));
    await sharp(pictures(1, 1, 8).data, { raw: { width: 8, height: 8, channels: 3 } }).toFile(
      join(folder, 'z.png'),
    );
    await expect(evaluate(request({ reference: folder, metrics: ['mind'] }))).rejects.toThrowError(
      '000000.png has 16x16 pixels, z.png 8x8',
    );
    await writeFileAtomic(join(folder, 'z.png'), [Buffer.from('no picture')]);
    await expect(evaluate(request({ reference: folder, metrics: ['mind'] }))).rejects.toThrowError(
      'cannot be read',
    );
    await mkdir(join(root, 'empty'));
    await expect(evaluate(request({ reference: join(root, 'empty') }))).rejects.toThrowError(
      'there are no pictures in this folder',
    );
  });

  test('the sheets that are drawn beside the pictures of a folder are no pictures of it', async () => {
    const folder = await writeFolder('with sheets', pictures(12, 3));
    const sheet = await readFile(join(await writeFolder('a sheet', pictures(13, 1, 40)), '000000.png'));
    await writeFile(join(folder, 'grid.png'), sheet);
    await writeFile(join(folder, 'previews.png'), sheet);
    expect(await openPictureFolder(folder)).toMatchObject({ count: 3, size: { height: SIDE, width: SIDE } });
  });

  test('archives of something else, a data set as samples, and nothing at all', async () => {
    const latents = await writeArchive('latents.npz', {
      arr_0: tensorOf('f32', [2, 4, 2, 2], new Array(32).fill(0)),
    });
    await expect(evaluate(request({ samples: latents }))).rejects.toThrowError('it holds latents');
    const floats = await writeArchive('floats.npz', {
      arr_0: tensorOf('f32', [1, 2, 2, 3], new Array(12).fill(0)),
    });
    await expect(evaluate(request({ samples: floats }))).rejects.toThrowError('arr_0 is f32[1,2,2,3]');
    await expect(evaluate(request({ samples: 'emoji' }))).rejects.toThrowError('cannot be the samples');
    await expect(evaluate(request({ samples: join(root, 'missing') }))).rejects.toThrowError(
      'there is no such folder',
    );
  });
});
