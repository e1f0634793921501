/** @file Float64 rules of quantised products, written as their definitions. */
import { roundHalfToEven } from '../../core/rounding.ts';
import { type EvaluateRule, fill, joinRows, rowsOf } from './value.ts';

export const weightScales: EvaluateRule<'weightScales'> = (_, { levels, eps }, weight) =>
  Float64Array.from(
    rowsOf(weight!).map((row) => row.reduce((most, w) => Math.max(most, Math.abs(w)), eps) / levels),
  );

export const quantizeWeight: EvaluateRule<'quantizeWeight'> = (shape, _, weight, scales) => {
  const [inner, outputs] = shape as [number, number];
  return fill(shape, (position) => {
    const [i, output] = [Math.floor(position / outputs), position % outputs];
    return roundHalfToEven(weight!.data[output * inner + i]! / scales!.data[output]!);
  });
};

export const quantizedLinear: EvaluateRule<'quantizedLinear'> = (shape, _, x, weight, scales, bias) => {
  const { values, scale } = quantizeToBytes(x!.data);
  const outputs = shape.at(-1)!;
  return joinRows(
    rowsOf({ shape: x!.shape, data: values }).map((row) =>
      Array.from({ length: outputs }, (_, output) => {
        const sum = row.reduce((total, level, i) => total + level * weight!.data[i * outputs + output]!, 0);
        return sum * scale * scales!.data[output]! + (bias?.data[output] ?? 0);
      }),
    ),
  );
};

/** Values as differences of a byte and the byte that stands for 0, and what a difference of 1 is worth. */
function quantizeToBytes(x: Float64Array): { readonly values: Float64Array; readonly scale: number } {
  const low = x.reduce((least, value) => Math.min(least, value), 0);
  const high = x.reduce((most, value) => Math.max(most, value), 0);
  const scale = high === low ? 1 : (high - low) / 255;
  const zero = roundHalfToEven(-low / scale);
  const toByte = (value: number) => Math.min(Math.max(roundHalfToEven(value / scale) + zero, 0), 255);
  return { values: x.map((value) => toByte(value) - zero), scale };
}
