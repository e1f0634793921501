import { expect, test } from 'vitest';
import { tensorOf } from '../core/host-tensor.ts';
import { frechetDistance } from './frechet.ts';
import { mosaicStatistics, mosaics } from './mosaic.ts';

test('mosaics are the mean colours of 8×8 tiles', () => {
  // Two pictures of three planes of 16×16; in the second, plane 1 has a 4 in the tile of row 2, column 5.
  const values = new Float32Array(2 * 3 * 256);
  values.fill(0.5, 0, 256);
  values[(3 + 1) * 256 + 5 * 16 + 10] = 4;
  const features = mosaics(tensorOf('f32', [2, 3, 16, 16], values));
  const expected = new Float64Array(2 * 192);
  expected.fill(0.5, 0, 64);
  expected[192 + 64 + 2 * 8 + 5] = 1;
  expect(features).toEqual(expected);
});

test('pictures that are brighter by d in each tile are at a distance of tiles · d²', () => {
  const values = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i));
  const [dark, bright] = [0, 0.5].map((more) =>
    mosaicStatistics(
      tensorOf(
        'f32',
        [3, 1, 8, 8],
        values.map((value) => value + more),
      ),
    ),
  );
  expect(frechetDistance(dark!, bright!)).toBeCloseTo(64 * 0.25, 4);
});
