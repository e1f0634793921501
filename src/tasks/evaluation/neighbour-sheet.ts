/** @file The samples that are nearest to the reference and farthest from it, each above its nearest picture of the reference. */
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import type { PixelImage } from '../../data/images/pixel-image.ts';
import { drawSheet, joinSheets } from '../../data/images/sheet.ts';
import type { FeatureRows } from '../../metrics/feature-rows.ts';
import { type ManifoldOptions, nearestNeighbours } from '../../metrics/manifold.ts';
import type { PictureSource } from './picture-source.ts';

/** Samples of each kind. */
const SHOWN = 8;

interface ShownSide {
  readonly source: Pick<PictureSource, 'batches' | 'size'>;
  readonly features: FeatureRows;
}

export async function neighbourSheet(
  reference: ShownSide,
  samples: ShownSide,
  options: Pick<ManifoldOptions, 'product' | 'block'>,
): Promise<PixelImage> {
  const { nearest, squared } = await nearestNeighbours(samples.features, reference.features, options);
  const order = Array.from(squared.keys()).sort((a, b) => squared[a]! - squared[b]!);
  const shown = Math.min(SHOWN, order.length);
  const sheetOf = async (title: string, chosen: readonly number[]) => {
    const drawn = await picturesAt(samples.source, chosen);
    const real = await picturesAt(
      reference.source,
      chosen.map((sample) => nearest[sample]!),
    );
    const data = new Uint8Array(drawn.data.length + real.data.length);
    data.set(drawn.data);
    data.set(real.data, drawn.data.length);
    const pictures = hostTensor('u8', [2 * chosen.length, ...drawn.shape.slice(1)], data);
    const sheet = drawSheet(pictures, { columns: chosen.length, rowLabels: ['sample', 'real'] });
    return { title: [title], sheet };
  };
  return joinSheets([
    await sheetOf('nearest to the reference', order.slice(0, shown)),
    await sheetOf('farthest from it', order.slice(-shown).reverse()),
  ]);
}

/** Pictures by their numbers. */
async function picturesAt(
  { batches, size: { height, width } }: ShownSide['source'],
  numbers: readonly number[],
): Promise<HostTensor<'u8'>> {
  const bytes = height * width * 3;
  const data = new Uint8Array(numbers.length * bytes);
  for (const [i, number] of numbers.entries()) {
    const stream = batches(number);
    const { value } = await stream.next();
    await stream.return(undefined);
    data.set((value as HostTensor<'u8'>).data.subarray(0, bytes), i * bytes);
  }
  return hostTensor('u8', [numbers.length, height, width, 3], data);
}
