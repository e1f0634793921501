import { describe, expect, test } from 'vitest';
import { parseImageSize } from '../../core/image-size.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { sinCosPositions } from './position.ts';
import { scaledAxes } from './position-scaling.ts';
import { rotaryTables } from './rotary.ts';

const trained = parseImageSize('4x4');
const CHANNELS = 16;

/** Angles of an axis at a position, from the highest frequency to the lowest. */
function anglesOf(grid: string, scaling: 'none' | 'interpolate' | 'ntk', axis: 'rows' | 'columns') {
  const { spacing, theta } = scaledAxes(parseImageSize(grid), CHANNELS, { trained, scaling })[axis];
  return (position: number) =>
    Array.from({ length: CHANNELS / 2 }, (_, i) => position * spacing * theta ** ((-2 * i) / CHANNELS));
}

const inTrained = anglesOf('4x4', 'none', 'rows');

describe('a grid of twice the rows', () => {
  test('none: positions go on', () => {
    expect(anglesOf('8x4', 'none', 'rows')(7)).toEqual(inTrained(7));
  });

  test('interpolate: every second row has the position of a trained one', () => {
    expect(anglesOf('8x4', 'interpolate', 'rows')(6)).toEqual(inTrained(3));
  });

  test('ntk: the highest frequency goes on, the lowest is interpolated', () => {
    const found = anglesOf('8x4', 'ntk', 'rows')(6);
    expect(found[0]).toBe(inTrained(6)[0]);
    expect(found.at(-1)).toBeCloseTo(inTrained(3).at(-1)!, 12);
  });

  test.each(['interpolate', 'ntk'] as const)('%s: columns stay as they are', (scaling) => {
    expect(anglesOf('8x4', scaling, 'columns')(3)).toEqual(inTrained(3));
  });
});

test.each(['none', 'interpolate', 'ntk'] as const)(
  '%s: a smaller grid is a part of the trained one',
  (scaling) => {
    expect(anglesOf('2x3', scaling, 'rows')(1)).toEqual(inTrained(1));
  },
);

test('a single frequency has no base to stretch', () => {
  const { rows } = scaledAxes(parseImageSize('8x4'), 2, { trained, scaling: 'ntk' });
  expect(rows.theta ** -0).toBe(1);
});

test('tables of both kinds follow the rule, each axis by itself', () => {
  const grid = parseImageSize('8x4');
  const scaled = { trained, scaling: 'interpolate' } as const;
  const [half, whole] = [rotaryTables(grid, 8, scaled), rotaryTables(trained, 8)].map(
    ({ cos }) => evaluate(graphOf({ cos }), new Map()).get('cos')!.data,
  );
  const [halfAdded, wholeAdded] = [sinCosPositions(grid, 16, scaled), sinCosPositions(trained, 16)];
  for (let row = 0; row < 4; row++) {
    expect(half!.slice(2 * row * 16, (2 * row + 1) * 16)).toEqual(whole!.slice(row * 16, (row + 1) * 16));
    expect(halfAdded.slice(2 * row * 64, (2 * row + 1) * 64)).toEqual(
      wholeAdded.slice(row * 64, (row + 1) * 64),
    );
  }
});
