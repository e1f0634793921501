import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { randomKey } from '../../core/random.ts';
import { BatchLoader, type BatchLoaderOptions } from './batch-loader.ts';
import { loadBatch, type Samples } from './samples.ts';
import { ShuffledOrder } from './shuffle.ts';

const KEY = randomKey(3);
const ORDER = new ShuffledOrder(randomKey(1), 10);

/** Samples whose values are their index and a word of the key they are read with. Each notes when it is read. */
function watched({ fails = () => false }: { readonly fails?: (index: number) => boolean } = {}) {
  const seen: number[] = [];
  let reading = 0;
  const samples: Samples = {
    name: 'watched',
    classNames: ['only'],
    shape: [2, 1, 1],
    space: { kind: 'pixels' },
    length: 10,
    labels: new Int32Array(10),
    sampleNames: Array.from({ length: 10 }, (_, i) => String(i)),
    async read(index, key, out) {
      seen.push(index);
      reading++;
      await delay(0);
      reading--;
      if (fails(index)) throw new Error(`no ${index}`);
      out.set([index, key![0]]);
    },
  };
  return { samples, seen, reading: () => reading };
}

const loaderOf = (samples: Samples, options: Partial<BatchLoaderOptions> = {}) =>
  new BatchLoader(ORDER, samples, { batchSize: 4, key: KEY, ...options });

/** Waits as long as it takes until that many samples have been asked for. */
async function untilRead({ seen }: { readonly seen: readonly number[] }, count: number): Promise<void> {
  while (seen.length < count) await delay(1);
}

describe('BatchLoader', () => {
  it('gives the batches of loadBatch, whether they are read ahead or not', async () => {
    for (const ahead of [0, 1] as const) {
      const data = watched();
      const loader = loaderOf(data.samples, { ahead });
      for (const nimg of [0, 4, 8, 20, 4]) {
        const expected = await loadBatch(data.samples, ORDER.indicesAt(nimg, 4), { key: KEY, nimg });
        expect(await loader.at(nimg)).toEqual(expected);
        await delay(1);
      }
      await loader.close();
    }
  });

  it('reads the next batch while one is worked on, and not again', async () => {
    const data = watched();
    const loader = loaderOf(data.samples);
    await loader.at(0);
    expect(data.seen).toEqual([...ORDER.indicesAt(0, 4)]);
    await untilRead(data, 8);
    await loader.at(4);
    expect(data.seen).toEqual([...ORDER.indicesAt(0, 8)]);
    await loader.close();
  });

  it('throws the failure of a batch read ahead when it is asked for', async () => {
    const broken = ORDER.at(5);
    const data = watched({ fails: (index) => index === broken });
    const loader = loaderOf(data.samples);
    await loader.at(0);
    await untilRead(data, 8);
    await delay(1);
    await expect(loader.at(4)).rejects.toThrow(`no ${broken}`);
    const expected = await loadBatch(data.samples, ORDER.indicesAt(0, 4), { key: KEY, nimg: 0 });
    expect(await loader.at(0)).toEqual(expected);
    await loader.close();
  });

  it('leaves nothing to be read when it is closed', async () => {
    const data = watched({ fails: () => data.seen.length > 4 });
    const loader = loaderOf(data.samples);
    await loader.at(0);
    await untilRead(data, 5);
    await loader.close();
    expect(data.reading()).toBe(0);
    const { length } = data.seen;
    await delay(5);
    expect(data.seen.length).toBe(length);
  });

  it('gives ranks the parts of the whole batch', async () => {
    const { samples } = watched();
    const whole = await loaderOf(samples, { ahead: 0 }).at(8);
    const parts = [0, 1].map((rank) => loaderOf(samples, { ahead: 0, rank, ranks: 2 }).at(8));
    const [first, second] = await Promise.all(parts);
    expect([...first!.x.data, ...second!.x.data]).toEqual([...whole.x.data]);
    expect(first!.x.shape).toEqual([2, 2, 1, 1]);
  });

  it('refuses shares that are not equal', () => {
    const { samples } = watched();
    expect(() => loaderOf(samples, { ranks: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: BatchLoader: a batch of 4 samples cannot be cut into 3 equal shares
        fix: use a batch of 6]
    `);
  });
});
