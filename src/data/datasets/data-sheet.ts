/** @file Samples as a model sees them, side by side: a row per class. */
import { DataError } from '../../core/errors.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import type { PixelImage } from '../images/pixel-image.ts';
import { toPixels } from '../images/pixels.ts';
import { classLabel, drawSheet } from '../images/sheet.ts';
import { loadBatch, type Samples } from './samples.ts';

// N sample · C H W picture

export interface DataSheetOptions {
  /** Pictures of a class, chosen at equal distances. */
  readonly columns: number;
  /** At most; of further classes nothing is shown. */
  readonly rows: number;
}

/**
 * Draws samples of the first classes, each row with the name of its class and how many samples it has. Samples are
 * neither mirrored nor moved.
 *
 * @throws {@link DataError} for samples that are no pictures, or that cannot be read
 */
export async function drawDataSheet(
  samples: Samples,
  { columns, rows }: DataSheetOptions,
): Promise<PixelImage> {
  if (samples.space.kind !== 'pixels') {
    throw new DataError({
      where: samples.name,
      problem: 'these are latents, of which no sheet can be drawn',
      fix: 'leave --out out',
    });
  }
  const classes = samplesByClass(samples).slice(0, rows);
  const chosen = classes.map((indices) => spread(indices, columns));
  const { x } = await loadBatch(samples, chosen.flat(), null);
  const pixels = toPixels(x);
  const [, height, width, channels] = pixels.shape as [number, number, number, number];
  const bytesPerPicture = height * width * channels;
  const cells = new Uint8Array(classes.length * columns * bytesPerPicture).fill(255);
  let next = 0;
  chosen.forEach((row, label) => {
    const count = row.length * bytesPerPicture;
    cells.set(pixels.data.subarray(next, next + count), label * columns * bytesPerPicture);
    next += count;
  });
  return drawSheet(hostTensor('u8', [classes.length * columns, height, width, channels], cells), {
    columns,
    rowLabels: classes.map(
      (indices, label) => `${classLabel(samples.classNames[label]!, label)} (${indices.length})`,
    ),
  });
}

/** The samples of each class, in order. */
export function samplesByClass({ classNames, labels }: Pick<Samples, 'classNames' | 'labels'>): number[][] {
  const byClass = classNames.map((): number[] => []);
  for (let index = 0; index < labels.length; index++) byClass[labels[index]!]!.push(index);
  return byClass;
}

/** At most `count` of `indices`, at equal distances. */
function spread(indices: readonly number[], count: number): number[] {
  const step = Math.max(1, indices.length / count);
  return Array.from({ length: Math.min(count, indices.length) }, (_, i) => indices[Math.floor(i * step)]!);
}
