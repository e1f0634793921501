import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { hostTensor } from '../../core/host-tensor.ts';
import { readAll } from '../../metrics/feature-rows.ts';
import { collect } from './collect-node.ts';
import type { Extractor } from './extractor.ts';
import type { PictureSource } from './picture-source.ts';
import { classSums } from './scores.ts';

const SIDE = 4;
const COUNT = 600;
const PIXELS = SIDE * SIDE * 3;

/** Pictures whose first byte is their number. */
const source: PictureSource = {
  ...{ name: 'numbers', kind: 'archive', count: COUNT, size: { height: SIDE, width: SIDE } },
  ...{ identity: null, doubts: [], provenance: {} },
  async *batches(start) {
    for (let first = start; first < COUNT; first += 50) {
      const data = new Uint8Array(50 * PIXELS);
      for (let i = 0; i < 50; i++) data[i * PIXELS] = first + i;
      yield hostTensor('u8', [50, SIDE, SIDE, 3], data);
    }
  },
  close: async () => {},
};

/** Features are the first byte; of every picture one class is as likely as the other. */
function countingExtractor() {
  let underWay = 0;
  let most = 0;
  const network: Extractor = {
    widths: new Map([
      ['features', 1],
      ['logits', 2],
    ]),
    batch: 1,
    async extract({ data }) {
      most = Math.max(most, ++underWay);
      await setImmediate();
      underWay--;
      return new Map([
        ['features', hostTensor('f32', [1, 1], Float32Array.of(data[0]!))],
        ['logits', hostTensor('f32', [1, 2], Float32Array.of(0, 0))],
      ]);
    },
    release: async () => {},
  };
  return { extractor: { identity: 'counting', network }, most: () => most };
}

test('pictures become floats as far as they can be worked on', async () => {
  const { extractor, most } = countingExtractor();
  await collect(source, { extractor, patches: false, folder: null });
  expect(most()).toBeLessThanOrEqual(2 * availableParallelism());
});

test('features of every picture, in their order, and classes are kept where they are asked for', async () => {
  const { extractor } = countingExtractor();
  const options = { extractor, patches: false, folder: null };
  const { features, classes, moments } = await collect(source, options);
  expect([features, classes]).toEqual([undefined, undefined]);
  expect([...moments.keys()]).toEqual(['features']);
  const all = await collect(source, { ...options, rows: true, classes: (n, k) => classSums(n, k, 100) });
  const { values } = await readAll(all.features!);
  expect(values).toEqual(Float32Array.from({ length: COUNT }, (_, i) => i % 256));
  expect(all.classes!.scores().map((score) => Number(score.toFixed(9)))).toEqual(
    new Array(COUNT / 100).fill(1),
  );
  expect(all.moments.get('features')!.statistics()).toEqual(moments.get('features')!.statistics());
});

test('many features are read from the parts that were kept', async ({ onTestFinished }) => {
  const folder = await mkdtemp(join(tmpdir(), 'udit-collect-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const { extractor } = countingExtractor();
  const options = { extractor, patches: false, rows: true, folder };
  const held = (await collect(source, options)).features!;
  const kept = (await collect(source, { ...options, heldBytes: 4 * (COUNT - 1) })).features!;
  expect([kept.count, kept.width]).toEqual([COUNT, 1]);
  // Parts are of 512 pictures.
  expect(await kept.read(500, 530)).toEqual(await held.read(500, 530));
  const rows = Int32Array.of(513, 2, 599, 511);
  expect((await kept.take(rows)).values).toEqual(Float32Array.of(513 - 512, 2, 599 - 512, 511 - 256));
});
