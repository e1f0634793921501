/**
 * @file What int8 does to pictures: draws docs/images/emoji-int8.png from the bundled model, or from another checkpoint,
 * each picture in float32 and beside it in int8, a row per class; and prints how far they are apart.
 *
 *     npx tsx bench/int8-picture.ts [checkpoint]
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Difference } from '../src/core/difference.ts';
import { hostTensor } from '../src/core/host-tensor.ts';
import { sizeOf } from '../src/core/shape.ts';
import { toPixels } from '../src/data/images/pixels.ts';
import { writeSheet } from '../src/data/images/png-node.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { locateCheckpoint, openCheckpoint } from '../src/models/bundled-node.ts';
import type { Precision } from '../src/networks/precision.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';

const PICTURE = fileURLToPath(new URL('../docs/images/emoji-int8.png', import.meta.url));
const PER_CLASS = 3;
const SEED = 0;

const saved = await openCheckpoint(await locateCheckpoint(process.argv[2]));
const { classNames } = saved.card;
const labels = classNames.flatMap((_, label) => new Array<number>(PER_CLASS).fill(label));

async function draw(precision: Precision) {
  const sampler = await createSampler(saved, {
    backend: cpuBackend,
    precision,
    workers: availableParallelism(),
  });
  const images = await sampler.generate({ labels, seed: SEED });
  await sampler.release();
  return images;
}

const [f32, int8] = [await draw('f32'), await draw('int8')];
const difference = new Difference();
difference.add(new Map([['images', int8]]), new Map([['images', f32]]));
const pixels = [f32, int8].map(toPixels);
const [count, ...picture] = pixels[0]!.shape as [number, number, number, number];
const size = sizeOf(picture);
const apart = pixels[0]!.data.reduce((sum, value, i) => sum + Math.abs(value - pixels[1]!.data[i]!), 0);

const pairs = new Uint8Array(2 * count * size);
for (const [side, { data }] of pixels.entries()) {
  for (let i = 0; i < count; i++) {
    pairs.set(data.subarray(i * size, (i + 1) * size), (2 * i + side) * size);
  }
}
const sheet = hostTensor('u8', [2 * count, ...picture], pairs);
await writeSheet(PICTURE, sheet, { columns: 2 * PER_CLASS, rowLabels: classNames, scale: 2 });
console.log(`${count} pictures: relative L2 ${difference.relativeL2.toFixed(4)}`);
console.log(`mean difference of a pixel: ${(apart / count / size).toFixed(2)} of 255`);
