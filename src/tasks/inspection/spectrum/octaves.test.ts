import { describe, expect, test } from 'vitest';
import { hostTensor } from '../../../core/host-tensor.ts';
import { normal, randomKey } from '../../../core/random.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import { constant } from '../../../engine/graph/operators.ts';
import { evaluate } from '../../../engine/interp/evaluate.ts';
import { octaveEnergies, octavesOf } from './octaves.ts';

/** Of one map [N, S, S, C] given by a function of its indices. */
function energiesOf(
  [n, side, channels]: readonly [number, number, number],
  value: (row: number, column: number, index: number) => number,
): number[] {
  const data = Float32Array.from({ length: n * side * side * channels }, (_, i) => {
    const cell = Math.floor(i / channels);
    return value(Math.floor(cell / side) % side, cell % side, i);
  });
  const maps = constant(hostTensor('f32', [n, side, side, channels], data));
  return Array.from(evaluate(graphOf({ energies: octaveEnergies(maps) }), new Map()).get('energies')!.data);
}

test('octaves halve from the side down to the mean', () => {
  const limits = (side: number) => octavesOf(side).map(({ from, to }) => [from, to]);
  expect(limits(8)).toEqual([
    [0, 1],
    [1, 2],
    [2, 4],
    [4, 8],
  ]);
  expect(limits(7)).toEqual([
    [0, 1],
    [1, 2],
    [2, 4],
    [4, 7],
  ]);
  expect(limits(1)).toEqual([[0, 1]]);
});

describe('energies', () => {
  test('of a constant map are its mean alone', () => {
    const [mean, ...rest] = energiesOf([2, 8, 3], () => -1.5);
    expect(mean).toBeCloseTo(2.25, 6);
    for (const energy of rest) expect(energy).toBeCloseTo(0, 10);
  });

  test.each([
    [0, 1, 1],
    [3, 1, 2],
    [2, 3, 2],
    [1, 4, 3],
    [7, 7, 3],
  ])('of cosines %i and %i lie in the octave of the higher', (k, l, octave) => {
    const wave = (number: number, position: number) => Math.cos((Math.PI * number * (position + 0.5)) / 8);
    const found = energiesOf([1, 8, 1], (row, column) => wave(k, row) * wave(l, column));
    const expected = (k === 0 ? 1 : 0.5) * 0.5; // the mean square of each factor
    found.forEach((energy, i) => {
      expect(energy).toBeCloseTo(i === octave ? expected : 0, 6);
    });
  });

  test.each([6, 7, 16])('add up to the mean square of a map of side %i', (side) => {
    const size = 2 * side * side * 3;
    const values = normal(randomKey(4), size);
    const found = energiesOf([2, side, 3], (_, __, i) => values[i]!);
    const meanSquare = values.reduce((sum, x) => sum + x * x, 0) / size;
    expect(found.reduce((sum, energy) => sum + energy, 0)).toBeCloseTo(meanSquare, 5);
  });
});
