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
