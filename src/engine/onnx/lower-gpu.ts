/** @file Operations that GPUs lack or compute coarsely, in terms of those that they compute well. */
import { hostTensor } from '../../core/host-tensor.ts';
import { sizeOf } from '../../core/shape.ts';
import type { Lowering, NodeOf } from './lowering.ts';

/** π in parts, the first two so short that their products with whole numbers up to 4096 are exact in float32 (Cody, Waite). */
const PI_IN_PARTS = [201 / 64, 2029 / 2 ** 21, Math.PI - 201 / 64 - 2029 / 2 ** 21];

/** Taylor coefficients in powers of r²: on |r| ≤ π/2 what is left out is below 6e-8. */
const SERIES = {
  Sin: [1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362_880, -1 / 39_916_800],
  Cos: [1, -1 / 2, 1 / 24, -1 / 720, 1 / 40_320, -1 / 3_628_800, 1 / 479_001_600],
} as const;

/**
 * The sine that WebGPU promises is wrong by up to 5e-4, and by anything beyond one turn; times are angles up to 1000.
 * There, x = kπ + r, and sin x = (−1)ᵏ sin r. Each node rounds on its own, so no compiler can undo the reduction.
 */
export const trigonometric =
  (opType: keyof typeof SERIES) =>
  (lowering: Lowering, { inputs }: NodeOf<'sin' | 'cos'>): string => {
    const x = lowering.name(inputs[0]!);
    if (!lowering.isForGpu) return lowering.emit(opType, [x]);
    const times = (a: string, b: number) => lowering.emit('Mul', [a, lowering.float(b)]);
    const plus = (a: string, b: number) => lowering.emit('Add', [a, lowering.float(b)]);
    const floor = (a: string) => lowering.emit('Floor', [a]);
    const k = floor(plus(times(x, 1 / Math.PI), 0.5));
    const r = PI_IN_PARTS.reduce((rest, part) => lowering.emit('Sub', [rest, times(k, part)]), x);
    const isOdd = lowering.emit('Sub', [k, times(floor(times(k, 0.5)), 2)]);
    const sign = plus(times(isOdd, -2), 1);
    const squared = lowering.emit('Mul', [r, r]);
    const [last, next, ...others] = SERIES[opType].toReversed() as [number, number, ...number[]];
    const sum = others.reduce(
      (inner, coefficient) => plus(lowering.emit('Mul', [inner, squared]), coefficient),
      plus(times(squared, last), next),
    );
    const ofRemainder = opType === 'Sin' ? lowering.emit('Mul', [r, sum]) : sum;
    return lowering.emit('Mul', [ofRemainder, sign]);
  };

/** Rows of the identity matrix say which row each value is added to: a product adds them all, in a fixed order. */
export function lowerAddRows(lowering: Lowering, { inputs, shape }: NodeOf<'addRows'>): string {
  const [values, indices] = inputs;
  const [count, rows] = [values!.shape[0]!, shape[0]!];
  const identity = lowering.once(`identity ${rows}`, () => {
    const data = new Float32Array(rows * rows);
    for (let i = 0; i < rows; i++) data[i * rows + i] = 1;
    return lowering.writer.constant(hostTensor('f32', [rows, rows], data));
  });
  const chosen = lowering.emit('Gather', [identity, lowering.name(indices!)], { axis: 0 });
  const flat = lowering.reshape(lowering.name(values!), [count, sizeOf(values!.shape) / count]);
  return lowering.reshape(lowering.emit('Gemm', [chosen, flat], { transA: 1 }), shape);
}
