/** @file What is kept of images as they are drawn, to be shown on one sheet: the images, or how they came into being. */
import { type HostTensor, zeros } from '../../core/host-tensor.ts';
import { toPixels } from '../../data/images/pixels.ts';
import type { StepProgress } from './sample.ts';

// H W C picture

/** More is no longer something to look at. */
const MAX_COLUMNS = 12;
const MAX_ROWS = 40;

/** Pixels of rows × columns images. */
export class Sheet {
  readonly rows: number;
  readonly columns: number;
  #images: HostTensor<'u8'> | undefined;

  /** What lies beyond the largest size worth looking at is left out. */
  constructor(rows: number, columns: number) {
    this.rows = Math.min(rows, MAX_ROWS);
    this.columns = Math.min(columns, MAX_COLUMNS);
  }

  /** @param pixels - `u8[N,H,W,C]`, of which image `n` is put down */
  place(row: number, column: number, pixels: HostTensor<'u8'>, n: number): void {
    if (row >= this.rows || column >= this.columns) return;
    this.#images ??= zeros('u8', [this.rows * this.columns, ...pixels.shape.slice(1)]);
    const size = pixels.data.length / pixels.shape[0]!;
    const image = pixels.data.subarray(n * size, (n + 1) * size);
    this.#images.data.set(image, (row * this.columns + column) * size);
  }

  /** `u8[rows · columns,H,W,C]`, row by row; nothing before the first image. */
  get images(): HostTensor<'u8'> | undefined {
    return this.#images;
  }
}

/** The steps whose previews are shown: the first, the last, and evenly spread ones between. */
export function previewSteps(stepCount: number): number[] {
  const count = Math.min(stepCount, MAX_COLUMNS);
  if (count === 1) return [1];
  return Array.from({ length: count }, (_, i) => Math.round(1 + (i * (stepCount - 1)) / (count - 1)));
}

/** What the network saw in the first image of each class, step by step. */
export class PreviewSheet extends Sheet {
  readonly #steps: readonly number[];
  readonly #imagesPerClass: number;

  constructor(classes: number, imagesPerClass: number, stepCount: number) {
    const steps = previewSteps(stepCount);
    super(classes, steps.length);
    this.#steps = steps;
    this.#imagesPerClass = imagesPerClass;
  }

  add({ step, first, x0 }: StepProgress): void {
    const column = this.#steps.indexOf(step);
    if (column < 0) return;
    const pixels = toPixels(x0);
    for (let n = 0; n < pixels.shape[0]!; n++) {
      const position = first + n;
      if (position % this.#imagesPerClass === 0)
        this.place(position / this.#imagesPerClass, column, pixels, n);
    }
  }
}
