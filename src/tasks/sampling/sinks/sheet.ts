/** @file What is kept of pictures as they are drawn, to be shown on one sheet: the pictures, or how they came into being. */
import { type HostTensor, hostTensor, zeros } from '../../../core/host-tensor.ts';
import { sizeOf } from '../../../core/shape.ts';
import { toPixels } from '../../../data/images/pixels.ts';
import type { LatentDecoder } from '../pipeline.ts';
import type { StepProgress } from '../sample.ts';

// H W C picture

/** More is no longer something to look at. */
export const MOST_COLUMNS = 12;
export const MOST_ROWS = 40;

/** Pixels of rows × columns pictures. */
export class Sheet {
  readonly rows: number;
  readonly columns: number;
  #images: HostTensor<'u8'> | undefined;

  constructor(rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
  }

  /**
   * What lies beyond the sheet is left out.
   *
   * @param pixels - `u8[N,H,W,C]`, of which picture `n` is put down
   */
  place(row: number, column: number, pixels: HostTensor<'u8'>, n: number): void {
    if (row >= this.rows || column >= this.columns) return;
    this.#images ??= zeros('u8', [this.rows * this.columns, ...pixels.shape.slice(1)]);
    const size = pixels.data.length / pixels.shape[0]!;
    const image = pixels.data.subarray(n * size, (n + 1) * size);
    this.#images.data.set(image, (row * this.columns + column) * size);
  }

  /** `u8[rows · columns,H,W,C]`, row by row; nothing before the first picture. */
  get images(): HostTensor<'u8'> | undefined {
    return this.#images;
  }
}

/** Of 1 … `count`, such as steps, those that a sheet has columns for: the first, the last, and evenly spread ones between. */
export function evenlySpread(count: number): number[] {
  const columns = Math.min(count, MOST_COLUMNS);
  if (columns === 1) return [1];
  return Array.from({ length: columns }, (_, i) => Math.round(1 + (i * (count - 1)) / (columns - 1)));
}

/** What the network saw in some pictures, step by step. */
export class PreviewSheet extends Sheet {
  readonly #steps: readonly number[];
  readonly #rowOf: (position: number) => number | undefined;
  /** Predictions by their cell, `f32[1,C,H,W]`. */
  readonly #seen = new Map<string, { row: number; column: number; x0: HostTensor<'f32'> }>();

  /** @param rowOf - the row of the picture at a position; undefined: it has none */
  constructor(rows: number, stepCount: number, rowOf: (position: number) => number | undefined) {
    const steps = evenlySpread(stepCount);
    super(rows, steps.length);
    this.#steps = steps;
    this.#rowOf = rowOf;
  }

  add({ step, first, x0 }: StepProgress): void {
    const column = this.#steps.indexOf(step);
    if (column < 0) return;
    const shape = [1, ...x0.shape.slice(1)];
    const size = sizeOf(shape);
    for (let n = 0; n < x0.shape[0]!; n++) {
      const row = this.#rowOf(first + n);
      if (row === undefined) continue;
      const data = x0.data.slice(n * size, (n + 1) * size);
      this.#seen.set(`${row} ${column}`, { row, column, x0: hostTensor('f32', shape, data) });
    }
  }

  /** Puts all predictions down, decoded where they are latents. */
  async show(decoder?: LatentDecoder): Promise<void> {
    for (const { row, column, x0 } of this.#seen.values()) {
      this.place(row, column, toPixels(decoder === undefined ? x0 : await decoder.decode(x0)), 0);
    }
  }
}
