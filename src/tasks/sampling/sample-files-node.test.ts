import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OnePicturePerClass, pictureValue, pictureWeights } from '../../../test/support/analytic-denoiser.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { parseNpz } from '../../formats/npz.ts';
import { withLock } from '../../host/files/lock-file-node.ts';
import { imageKey, imageNoise } from './image-noise.ts';
import { createPipeline, type Pipeline } from './pipeline.ts';
import { drawToFolder, type SampleFilesRequest } from './sample-files-node.ts';

const CLASSES = { numClasses: 3, classNames: ['Red Fox', 'Owl', 'Newt'] };
/** Without guidance every image is its class's picture. */
let pipeline: Pipeline;
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit samples '));
  const saved = {
    network: new OnePicturePerClass(3),
    weights: pictureWeights(3),
    card: { objective: { kind: 'flow' } as const },
  };
  pipeline = await createPipeline(saved, {
    backend: cpuBackend,
    sampler: 'euler',
    steps: 2,
    cfgScale: 1,
    batchSize: 4,
    // More would draw the second batch before the first is written.
    workers: 1,
  });
});
afterAll(async () => {
  await pipeline.release();
  await rm(root, { recursive: true });
});

function request(folder: string, changes: Partial<SampleFilesRequest> = {}): SampleFilesRequest {
  return {
    pipeline,
    classes: CLASSES,
    labels: [2, 0],
    count: 3,
    seed: 7,
    folder: join(root, folder),
    png: true,
    npz: false,
    ...changes,
  };
}

/** Bytes of a class's picture, H·W·C. */
function picture(label: number): number[] {
  return Array.from({ length: 4 }, (_, position) =>
    [0, 1, 2].map((c) => Math.floor(127.5 * pictureValue(label, c * 4 + position) + 128)),
  ).flat();
}

test('a PNG file per image with the pixels of its class, and a grid', async () => {
  const files = await drawToFolder(request('png'));
  expect((await readdir(join(root, 'png'))).sort()).toEqual([
    'grid.png',
    'newt-7-0.png',
    'newt-7-1.png',
    'newt-7-2.png',
    'red-fox-7-0.png',
    'red-fox-7-1.png',
    'red-fox-7-2.png',
  ]);
  expect(files.images[4]).toEqual({
    class: 'Red Fox',
    label: 0,
    index: 1,
    path: join(root, 'png', 'red-fox-7-1.png'),
  });
  for (const { label, path } of files.images) {
    const { data, info } = await sharp(path!).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([2, 2, 3]);
    expect(Array.from(data)).toEqual(picture(label));
  }
});

test('the grid has a row per class', async () => {
  const { gridPath } = await drawToFolder(request('grid'));
  const { data, info } = await sharp(gridPath!).raw().toBuffer({ resolveWithObject: true });
  const pixelAt = (x: number, y: number) =>
    Array.from(data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3));
  // Pictures are enlarged to 96 with 6 between them; the last column is the third image of each class.
  const lastColumn = info.width - 6 - 96;
  expect(pixelAt(lastColumn, 6)).toEqual(picture(2).slice(0, 3));
  expect(pixelAt(lastColumn, 6 + 102)).toEqual(picture(0).slice(0, 3));
  expect(info.height).toBe(2 * 102 + 6);
});

test('a grid of many shows the first of each class', async () => {
  const { gridPath } = await drawToFolder(request('many', { count: 14, labels: [1] }));
  const { width, height } = await sharp(gridPath!).metadata();
  expect(height).toBe(108);
  expect(width).toBeLessThan(13 * 102);
  expect(width).toBeGreaterThan(12 * 102);
});

test('previews on a sheet of their own: a row per class, a column per step', async () => {
  const files = await drawToFolder(request('previews', { previews: true, png: false, npz: true }));
  expect(await readdir(join(root, 'previews'))).toEqual(['previews.png', 'samples_6x2x2x3.npz']);
  const { data, info } = await sharp(files.previewsPath!).raw().toBuffer({ resolveWithObject: true });
  expect(info.height).toBe(2 * 102 + 6);
  // The model sees the picture of the class from the first step on.
  for (const [row, label] of [2, 0].entries()) {
    for (const columnFromRight of [1, 2]) {
      const at = ((6 + row * 102) * info.width + info.width - columnFromRight * 102) * 3;
      expect(Array.from(data.subarray(at, at + 3))).toEqual(picture(label).slice(0, 3));
    }
  }
});

test('an archive of all pixels with the classes mixed and their labels beside, without PNG files', async () => {
  const files = await drawToFolder(request('npz', { png: false, npz: true }));
  expect(await readdir(join(root, 'npz'))).toEqual(['samples_6x2x2x3.npz']);
  expect([files.gridPath, files.images[0]!.path]).toEqual([undefined, undefined]);
  const archive = parseNpz(await readFile(files.npzPath!), 'samples');
  const { dtype, shape, data } = archive.get('arr_0')!;
  expect([dtype, shape]).toEqual(['u8', [6, 2, 2, 3]]);
  const labels = files.images.map(({ label }) => label);
  expect(archive.get('labels')).toEqual(tensorOf('i64', [6], labels));
  expect(Array.from(data as Uint8Array)).toEqual(labels.flatMap(picture));
  expect(labels.toSorted()).toEqual([0, 0, 0, 2, 2, 2]);
  expect(labels).not.toEqual([2, 2, 2, 0, 0, 0]);
});

test('aborting leaves whole files only', async () => {
  const controller = new AbortController();
  const drawing = drawToFolder(
    request('aborted', {
      signal: controller.signal,
      onStep: ({ first }) => {
        if (first > 0) controller.abort(new Error('enough'));
      },
    }),
  );
  await expect(drawing).rejects.toThrow('enough');
  const names = (await readdir(join(root, 'aborted'))).sort();
  expect(names).toEqual(['newt-7-0.png', 'newt-7-1.png', 'newt-7-2.png', 'red-fox-7-0.png']);
  for (const name of names)
    await sharp(join(root, 'aborted', name))
      .raw()
      .toBuffer();
});

test('the number of an image does not depend on which others are drawn with it', async () => {
  const numbers: number[][] = [];
  const recording: Pipeline = {
    ...pipeline,
    pictures(drawn) {
      numbers.push([...drawn.indices!]);
      return pipeline.pictures(drawn);
    },
  };
  await drawToFolder(request('numbers', { pipeline: recording, labels: [0, 1, 2], count: 2 }));
  await drawToFolder(request('numbers', { pipeline: recording, labels: [2], count: 3 }));
  expect(numbers).toEqual([
    [0, 3, 1, 4, 2, 5],
    [2, 5, 8],
  ]);
});

describe('an archive after a kill', () => {
  /** Draws as the pipeline does, and is killed before the batch that begins at `end`. */
  function killedAt(end: number, drawn: number[]): Pipeline {
    return {
      ...pipeline,
      async *pictures(asked) {
        for await (const batch of pipeline.pictures(asked)) {
          if (batch.first === end) throw new Error('killed');
          drawn.push(batch.first);
          yield batch;
        }
      },
    };
  }
  const contentOf = async (folder: string) => {
    const names = (await readdir(join(root, folder))).sort();
    return Promise.all(names.map(async (name) => [name, await readFile(join(root, folder, name))]));
  };

  test('is gone on with: the same files, and no picture is drawn twice', async () => {
    const options = { npz: true, count: 5 };
    await drawToFolder(request('undisturbed', options));
    const drawn: number[] = [];
    const killed = drawToFolder(request('killed', { ...options, pipeline: killedAt(8, drawn) }));
    await expect(killed).rejects.toThrow('killed');
    const found: number[] = [];
    const rest = {
      ...options,
      pipeline: killedAt(-1, drawn),
      onResume: (count: number) => found.push(count),
    };
    const files = await drawToFolder(request('killed', rest));
    expect(found).toEqual([8]);
    expect(files.found).toBe(8);
    expect(drawn).toEqual([0, 4, 8]);
    expect(await contentOf('killed')).toEqual(await contentOf('undisturbed'));
  });

  test('is not gone on with by another request', async () => {
    const killed = drawToFolder(request('changed', { npz: true, pipeline: killedAt(4, []) }));
    await expect(killed).rejects.toThrow('killed');
    const other = drawToFolder(request('changed', { npz: true, seed: 8 }));
    await expect(other).rejects.toThrow('were started with seed 7, but seed is now 8');
    const weights = drawToFolder(request('changed', { npz: true, origin: { step: 20 } }));
    await expect(weights).rejects.toThrow('were started with step none, but step is now 20');
  });

  test('of another process is left alone', async () => {
    await mkdir(join(root, 'busy'));
    await withLock(join(root, 'busy', 'samples_6x2x2x3.npz.lock'), {}, () =>
      expect(drawToFolder(request('busy', { npz: true }))).rejects.toThrow(
        `process ${process.pid} of ${hostname()} is writing it`,
      ),
    );
  });
});

/** Draws, and gives the first positions of the batches that were drawn. */
async function drawnBy(folder: string, changes: Partial<SampleFilesRequest> = {}) {
  const drawn: number[] = [];
  const recording: Pipeline = {
    ...pipeline,
    async *pictures(asked) {
      for await (const batch of pipeline.pictures(asked)) {
        drawn.push(batch.first);
        yield batch;
      }
    },
  };
  const files = await drawToFolder(request(folder, { ...changes, pipeline: recording }));
  return { drawn, files };
}

describe('the same request again', () => {
  const bytesOf = (folder: string, name: string) => readFile(join(root, folder, name));

  test('draws nothing where all pictures are there, and only the missing ones elsewhere', async () => {
    const { drawn: first } = await drawnBy('again');
    expect(first).toEqual([0, 4]);
    const [grid, picture] = [await bytesOf('again', 'grid.png'), await bytesOf('again', 'red-fox-7-1.png')];
    expect(await drawnBy('again')).toMatchObject({ drawn: [], files: { found: 6 } });
    for (const name of ['red-fox-7-1.png', 'grid.png']) await rm(join(root, 'again', name));
    const { drawn, files } = await drawnBy('again');
    expect([drawn, files.found]).toEqual([[4], 4]);
    expect(await bytesOf('again', 'grid.png')).toEqual(grid);
    expect(await bytesOf('again', 'red-fox-7-1.png')).toEqual(picture);
  });

  test('with another model, or in other batches, draws all', async () => {
    await drawnBy('altered');
    expect((await drawnBy('altered', { origin: { step: 20 } })).drawn).toEqual([0, 4]);
    expect((await drawnBy('altered', { origin: { step: 20 }, count: 4 })).drawn).toEqual([0, 4]);
    expect((await drawnBy('altered', { origin: { step: 20 }, count: 4 })).drawn).toEqual([]);
  });

  test('takes a finished archive as it is, and begins anew where it is damaged or of other settings', async () => {
    const archive = { npz: true, png: false };
    await drawnBy('finished', archive);
    expect((await drawnBy('finished', archive)).drawn).toEqual([]);
    expect((await drawnBy('finished', { ...archive, seed: 8 })).drawn).toEqual([0, 4]);
    const path = join(root, 'finished', 'samples_6x2x2x3.npz');
    const bytes = await readFile(path);
    bytes[200]! ^= 1;
    await writeFile(path, bytes);
    expect((await drawnBy('finished', { ...archive, seed: 8 })).drawn).toEqual([0, 4]);
  });

  test('makes PNG files of an archive, and an archive of PNG files', async () => {
    await drawnBy('from-archive', { npz: true, png: false });
    expect((await drawnBy('from-archive', { npz: true })).drawn).toEqual([]);
    await rm(join(root, 'from-archive', 'samples_6x2x2x3.npz'));
    expect((await drawnBy('from-archive', { npz: true })).drawn).toEqual([]);
    await drawnBy('both', { npz: true });
    for (const name of await readdir(join(root, 'both')))
      expect(await bytesOf('from-archive', name)).toEqual(await bytesOf('both', name));
  });

  test('a PNG file that is there but cannot be read is an error', async () => {
    await drawnBy('damaged');
    const path = join(root, 'damaged', 'newt-7-0.png');
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, -30));
    await expect(drawnBy('damaged')).rejects.toThrow('cannot be read any more');
  });
});

describe('parts', () => {
  const part = (number: number, parts: number) => ({ part: { number, parts }, npz: true, count: 5 });
  const whole = { npz: true, count: 5 };

  test('are joined by the request for the whole, to the same bytes', async () => {
    await drawToFolder(request('undivided', whole));
    for (const number of [1, 2, 3]) {
      const { images, npzPath, gridPath } = await drawToFolder(request('parts', part(number, 3)));
      expect([images.length, gridPath]).toEqual([number === 3 ? 2 : 4, undefined]);
      expect(npzPath).toBe(join(root, 'parts', `samples_10x2x2x3.part-${number}-of-3.npz`));
      const { shape } = parseNpz(await readFile(npzPath!), 'part').get('labels')!;
      expect(shape).toEqual([images.length]);
    }
    const { drawn, files } = await drawnBy('parts', whole);
    expect([drawn, files.found]).toEqual([[], 10]);
    for (const name of await readdir(join(root, 'undivided'))) {
      const bytes = await readFile(join(root, 'undivided', name));
      expect((await readFile(join(root, 'parts', name))).equals(bytes)).toBe(true);
    }
  });

  test('that are missing are drawn', async () => {
    await drawToFolder(request('missing', { ...part(2, 2), png: false }));
    const { found } = await drawToFolder(request('missing', { ...whole, png: false }));
    expect(found).toBe(6);
    const name = 'samples_10x2x2x3.npz';
    expect(await readFile(join(root, 'missing', name))).toEqual(
      await readFile(join(root, 'undivided', name)),
    );
  });

  test('of other settings, and damaged ones, are refused before anything is drawn', async () => {
    await drawToFolder(request('strange', { ...part(1, 2), png: false }));
    const other = drawToFolder(request('strange', { ...whole, png: false, origin: { step: 20 } }));
    await expect(other).rejects.toThrow('were started with step none, but step is now 20');
    const path = join(root, 'strange', 'samples_10x2x2x3.part-1-of-2.npz');
    const bytes = await readFile(path);
    bytes[200]! ^= 1;
    await writeFile(path, bytes);
    const joining = drawToFolder(request('strange', { ...whole, png: false }));
    await expect(joining).rejects.toThrow('this archive of a part of the pictures is damaged');
    expect(await readdir(join(root, 'strange'))).toEqual(['samples_10x2x2x3.part-1-of-2.npz']);
  });
});

test('noise of the caller: each picture in its order, and no other size', async () => {
  const noise = imageNoise([imageKey(1, 0), imageKey(1, 1)], [3, 2, 2], 'start');
  const asked = { labels: [1], count: 2, npz: true, png: false, noise };
  const starts: unknown[] = [];
  const recording: Pipeline = {
    ...pipeline,
    pictures(drawn) {
      starts.push(drawn.noise);
      return pipeline.pictures(drawn);
    },
  };
  const { images } = await drawToFolder(request('noise', { ...asked, pipeline: recording }));
  expect(starts).toEqual([noise]);
  expect(images.map(({ index }) => index)).toEqual([0, 1]);
  const more = drawToFolder(request('noise', { ...asked, count: 3 }));
  await expect(more).rejects.toThrow('it has the shape [2,3,2,2], [3,3,2,2] is needed');
  // Another noise, another archive: nothing is taken for what it is not.
  expect((await drawnBy('noise', asked)).drawn).toEqual([]);
  const other = { ...asked, noise: imageNoise([imageKey(1, 0), imageKey(1, 2)], [3, 2, 2], 'start') };
  expect((await drawnBy('noise', other)).drawn).toEqual([0]);
});

test('no room for PNG files is told before anything is drawn', async () => {
  const side = 2 ** 23;
  const huge: Pipeline = { ...pipeline, pictureShape: [side, side, 3] };
  const drawing = drawToFolder(request('huge', { pipeline: huge }));
  const message = await drawing.catch((error: Error) => error.message.replaceAll(root, 'ROOT'));
  expect(String(message).replace(/[\d.]+ \wB are free/, '# are free')).toMatchInlineSnapshot(`
    "DataError: ROOT/huge: 6 PNG files need at least 317 TB, # are free
      fix: free some space, or choose another folder with --out"
  `);
  expect(await readdir(join(root, 'huge'))).toEqual([]);
});

describe('errors', () => {
  /** The message with the temporary folder's name taken out. */
  const messageOf = async (drawing: Promise<unknown>): Promise<string> => {
    const error = await drawing.then(
      () => new Error('nothing was thrown'),
      (thrown: Error) => thrown,
    );
    return error.message.replaceAll(root, 'ROOT');
  };

  test('a folder that is a file', async () => {
    await writeFile(join(root, 'occupied'), '');
    expect(await messageOf(drawToFolder(request('occupied')))).toMatchInlineSnapshot(`
      "DataError: ROOT/occupied: there is a file where a folder is needed
        fix: choose another folder with --out"
    `);
  });

  test('nothing to write', async () => {
    expect(await messageOf(drawToFolder(request('nothing', { png: false })))).toMatchInlineSnapshot(`
      "ConfigError: --no-png: nothing would be written: neither PNG files nor an .npz archive
        fix: add --npz, or leave --no-png out"
    `);
  });
});
