/** @file Operations that GPUs lack or compute coarsely, in terms of those that they compute well. */
import { hostTensor } from '../core/host-tensor.ts';
import type { Lowering, NodeOf } from './lowering.ts';

/** π in parts, the first two so short that their products with whole numbers up to 4096 are exact in float32 (Cody, Waite). */
const PI_IN_PARTS = [201 / 64, 2029 / 2 ** 21, Math.PI - 201 / 64 - 2029 / 2 ** 21];

/** Taylor coefficients in powers of r²: on |r| ≤ π/2 what is left out is below 6e-8. */
const SINE_SERIES = [1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362_880, -1 / 39_916_800];
const COSINE_SERIES = [1, -1 / 2, 1 / 24, -1 / 720, 1 / 40_320, -1 / 3_628_800, 1 / 479_001_600];

/**
 * The sine that WebGPU promises is wrong by up to 5e-4, and by anything beyond one turn; times are angles up to 1000.
 * There, x = kπ + r, and sin x = (−1)ᵏ sin r. Each node rounds on its own, so no compiler can undo the reduction.
 */
export const trigonometric =
  (opType: 'Sin' | 'Cos') =>
  (lowering: Lowering, { inputs }: NodeOf<'sin' | 'cos'>): string => {
    const x = lowering.name(inputs[0]!);
    if (!lowering.isForGpu) return lowering.emit(opType, [x]);
    const times = (a: string, b: string | number) =>
      lowering.emit('Mul', [a, typeof b === 'string' ? b : lowering.float(b)]);
    const plus = (a: string, b: number) => lowering.emit('Add', [a, lowering.float(b)]);
    const [r, sign] = ['remainder', 'sign'].map((part) =>
      lowering.once(`angle ${part} ${x}`, () => {
        const turns = lowering.once(`half turns ${x}`, () =>
          lowering.emit('Floor', [plus(times(x, 1 / Math.PI), 0.5)]),
        );
        if (part === 'remainder') {
          return PI_IN_PARTS.reduce((rest, pi) => lowering.emit('Sub', [rest, times(turns, pi)]), x);
        }
        const odd = lowering.emit('Sub', [turns, times(lowering.emit('Floor', [times(turns, 0.5)]), 2)]);
        return plus(times(odd, -2), 1);
      }),
    ) as [string, string];
    const squared = lowering.once(`angle squared ${x}`, () => times(r, r));
    const series = opType === 'Sin' ? SINE_SERIES : COSINE_SERIES;
    const [last, ...others] = [...series].reverse() as [number, ...number[]];
    const [next, ...rest] = others as [number, ...number[]];
    const sum = rest.reduce(
      (inner, coefficient) => plus(times(inner, squared), coefficient),
      plus(times(squared, last), next),
    );
    return times(opType === 'Sin' ? times(r, sum) : sum, sign);
  };

/** Rows of the identity matrix say which row each value is added to: a product adds them all, in a fixed order. */
export function lowerAddRows(lowering: Lowering, tensor: NodeOf<'addRows'>): string {
  const [values, indices] = tensor.inputs;
  const rows = tensor.shape[0]!;
  const identity = lowering.once(`identity ${rows}`, () => {
    const data = new Float32Array(rows * rows);
    for (let i = 0; i < rows; i++) data[i * rows + i] = 1;
    return lowering.writer.constant(hostTensor('f32', [rows, rows], data));
  });
  const chosen = lowering.emit('Gather', [identity, lowering.name(indices!)], { axis: 0 });
  const [first, ...rest] = tensor.shape as [number, ...number[]];
  const flat = lowering.reshape(lowering.name(values!), [values!.shape[0]!, rest.reduce((a, b) => a * b, 1)]);
  const sums = lowering.emit('Gemm', [chosen, flat], { transA: 1 });
  return lowering.reshape(sums, [first, ...rest]);
}
