/**
 * @file Coefficients of a process by step. They are computed in float64 on the host and rounded to float32 once; a
 * graph gets them either by integer steps per sample (training) or as one fed row that all samples share (sampling).
 */
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import { constant, reshape, slice, takeRows } from '../engine/graph/operators.ts';
import type { Tensor } from '../engine/graph/tensor.ts';
import type { PerSample } from './denoise.ts';

/** Each [N, 1, 1, 1], or [1, 1, 1, 1] where all samples share a step: they broadcast over images. */
export type Coefficients<Name extends string> = Readonly<Record<Name, Tensor<'N 1 1 1'>>>;

/** A table with a row per step and a named column per coefficient. */
export class CoefficientTable<Name extends string> {
  readonly names: readonly Name[];
  readonly steps: number;
  readonly #rows: Float32Array;

  constructor(columns: Readonly<Record<Name, ArrayLike<number>>>) {
    this.names = Object.keys(columns) as Name[];
    this.steps = columns[this.names[0]!].length;
    this.#rows = new Float32Array(this.steps * this.names.length);
    this.names.forEach((name, column) => {
      for (let step = 0; step < this.steps; step++) {
        this.#rows[step * this.names.length + column] = columns[name][step]!;
      }
    });
  }

  /** The row of one step, [1, K]: what is fed where {@link ofRows} reads. */
  row(step: number): HostTensor<'f32'> {
    const width = this.names.length;
    return hostTensor('f32', [1, width], this.#rows.slice(step * width, (step + 1) * width));
  }

  /** Coefficients of each sample's own step: `steps` is int64 [N]. */
  at(steps: PerSample): Coefficients<Name> {
    const table = constant(hostTensor('f32', [this.steps, this.names.length], this.#rows));
    return this.ofRows(takeRows(table, steps));
  }

  /** Names the columns of rows [N, K]. */
  ofRows(rows: Tensor<'N K'>): Coefficients<Name> {
    const columns = this.names.map((name, column) => [
      name,
      reshape(slice(rows, 1, column, column + 1), [rows.shape[0]!, 1, 1, 1]),
    ]);
    return Object.fromEntries(columns) as Coefficients<Name>;
  }
}
