import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import {
  type InterpolationRule,
  interpolate,
  interpolationMatrix,
  PILLOW_BICUBIC,
  PYTORCH_BICUBIC,
  PYTORCH_BILINEAR,
  TENSORFLOW_BILINEAR,
} from './interpolation.ts';

const rows = (from: number, to: number, rule: InterpolationRule, scale?: number): number[][] => {
  const matrix = interpolationMatrix(from, to, rule, scale);
  return Array.from({ length: to }, (_, row) => [...matrix.subarray(row * from, (row + 1) * from)]);
};

describe('two pixels become four', () => {
  test('from the first pixel on, in TensorFlow 1', () => {
    expect(rows(2, 4, TENSORFLOW_BILINEAR)).toEqual([
      [1, 0],
      [0.5, 0.5],
      [0, 1],
      [0, 1],
    ]);
  });

  test('from corner to corner, in PyTorch', () => {
    expect(rows(2, 4, PYTORCH_BILINEAR)).toEqual([
      [1, 0],
      [0.75, 0.25],
      [0.25, 0.75],
      [0, 1],
    ]);
  });
});

test('four pixels become two: PyTorch reads the nearest two of each, Pillow eight, and leaves out those beyond the border', () => {
  expect(rows(4, 2, PYTORCH_BILINEAR)).toEqual([
    [0.5, 0.5, 0, 0],
    [0, 0, 0.5, 0.5],
  ]);
  // Keys' kernel of a = −1/2 at distances ¼, ¾, 1¼ of the doubled width.
  const [near, far, beyond] = [0.8671875, 0.2265625, -0.0703125];
  const [first] = rows(4, 2, PILLOW_BICUBIC);
  const kernel = [near, near, far, beyond];
  const total = kernel.reduce((a, b) => a + b);
  expectClose(
    first!,
    kernel.map((weight) => weight / total),
    { relative: 1e-12 },
  );
});

test('the scale may differ from the sizes: positions move towards the start', () => {
  const [first] = rows(37, 16, PYTORCH_BICUBIC, 37 / 16.1);
  const centre = (0.5 * 37) / 16.1 - 0.5;
  const x = centre - Math.floor(centre);
  const a = -0.75;
  const at1 = ((a + 2) * x - (a + 3)) * x * x + 1;
  expect(first![0]!).toBeCloseTo(at1 + (((1 + x - 5) * (1 + x) + 8) * (1 + x) - 4) * a, 12);
});

test.each([TENSORFLOW_BILINEAR, PYTORCH_BILINEAR, PYTORCH_BICUBIC, PILLOW_BICUBIC])(
  'a constant stays one: %o',
  (rule) => {
    for (const [from, to] of [
      [3, 7],
      [7, 3],
      [1, 4],
    ] as const) {
      for (const row of rows(from, to, rule)) expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    }
  },
);

test('images are interpolated along both axes', () => {
  const x = input('x', [1, 2, 2, 3]);
  const values = tensorOf('f32', [1, 2, 2, 3], [0, 2, 4, 10, 12, 14, 1, 1, 1, 3, 3, 3]);
  const y = interpolate(x, [4, 3], TENSORFLOW_BILINEAR);
  expect(y.shape).toEqual([1, 2, 4, 3]);
  expect(Array.from(evaluate(graphOf({ y }), new Map([['x', values]])).get('y')!.data)).toEqual([
    ...[0, 2, 4, 5, 7, 9, 10, 12, 14, 10, 12, 14],
    ...[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3],
  ]);
});
