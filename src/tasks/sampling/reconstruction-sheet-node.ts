/** @file Sheets of what an autoencoder makes of pictures, each beside the picture itself. */
import { readFile } from 'node:fs/promises';
import { hostTensor } from '../../core/host-tensor.ts';
import { fold, permutation, randomKey } from '../../core/random.ts';
import { loadBatch, type Samples } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { writeSheet } from '../../data/images/png-node.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import type { SavedNetwork } from '../../models/saved-model.ts';
import type { SheetComputing } from './class-sheet-node.ts';

const ROWS = 4;
/** Of pictures, each beside its reconstruction. */
const PAIRS = 4;

/**
 * What the training of an autoencoder draws its sheets with: always the same pictures.
 *
 * @returns a function that writes a PNG file and gives its content
 */
export function reconstructionSheets(
  pictures: Samples,
  { backend = cpuBackend, threads }: SheetComputing,
): (saved: Pick<SavedNetwork<'autoencoder'>, 'network' | 'weights'>, path: string) => Promise<Uint8Array> {
  const count = Math.min(ROWS * PAIRS, pictures.length);
  const order = permutation(fold(randomKey(0), 'reconstruction sheet'), pictures.length);
  return async ({ network, weights }, path) => {
    const { x } = await loadBatch(pictures, order.slice(0, count), null);
    // One after the other, which takes little memory beside a training.
    const [, ...shape] = x.shape;
    const traced = network.forward(input('x', [1, ...shape]) as Tensor<'N C H W'>);
    const session = await compileInference(graphOf({ images: traced }), weights, backend, { threads });
    const values = x.data.length / count;
    const sheet = new Uint8Array(2 * x.data.length);
    try {
      for (let i = 0; i < count; i++) {
        const picture = hostTensor('f32', [1, ...shape], x.data.slice(i * values, (i + 1) * values));
        const images = (await session.run(new Map([['x', picture]]))).get('images')!;
        sheet.set(toPixels(picture).data, 2 * i * values);
        sheet.set(
          toPixels(hostTensor('f32', images.shape, images.data as Float32Array)).data,
          (2 * i + 1) * values,
        );
      }
    } finally {
      await session.release();
    }
    const [channels, height, width] = shape as [number, number, number];
    const images = hostTensor('u8', [2 * count, height, width, channels], sheet);
    await writeSheet(path, images, { columns: 2 * PAIRS });
    return readFile(path);
  };
}
