/** @file Float64 rules of matrix products, written as their definitions. */
import { sizeOf } from '../../core/shape.ts';
import { type EvaluateRule, joinRows, rowsOf } from './value.ts';

export const matmul: EvaluateRule<'matmul'> = (shape, { transposeA, transposeB }, a, b) => {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  const inner = transposeA ? a!.shape.at(-2)! : a!.shape.at(-1)!;
  const product = new Float64Array(sizeOf(shape));
  for (let batch = 0; batch < sizeOf(shape.slice(0, -2)); batch++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let total = 0;
        for (let i = 0; i < inner; i++) {
          const inA = transposeA ? i * rows + row : row * inner + i;
          const inB = transposeB ? column * inner + i : i * columns + column;
          total += a!.data[batch * rows * inner + inA]! * b!.data[batch * inner * columns + inB]!;
        }
        product[(batch * rows + row) * columns + column] = total;
      }
    }
  }
  return product;
};

export const linear: EvaluateRule<'linear'> = (_, __, x, weight, bias) =>
  joinRows(
    rowsOf(x!).map((row) =>
      rowsOf(weight!).map((weights, output) =>
        row.reduce((total, element, i) => total + element * weights[i]!, bias?.data[output] ?? 0),
      ),
    ),
  );
