import { describe, expect, test } from 'vitest';
import { tilesAlong } from './tiles.ts';

const FACTOR = 2;

/** The sum of all shares in each pixel. */
function totals(latents: number, { tiles }: ReturnType<typeof tilesAlong>): Float32Array {
  const total = new Float32Array(latents * FACTOR);
  for (const { start, shares } of tiles) {
    for (const [p, share] of shares.entries()) total[start * FACTOR + p]! += share;
  }
  return total;
}

describe.each([
  [20, 4, 3],
  [21, 4, 3],
  [7, 4, 3],
  [9, 8, 1],
  [20, 4, undefined],
  [33, 8, undefined],
])('%i latents in tiles of %i with reach %s', (latents, core, reach) => {
  const axis = tilesAlong(latents, { core, factor: FACTOR, reach });

  test('every pixel is made once, by tiles within the picture', () => {
    for (const total of totals(latents, axis)) expect(total).toBeCloseTo(1, 6);
    for (const { start, shares } of axis.tiles) {
      expect(shares.length).toBe(axis.length * FACTOR);
      expect(start).toBeGreaterThanOrEqual(0);
      expect(start + axis.length).toBeLessThanOrEqual(latents);
    }
  });

  test('a tile sees all that its pixels depend on', () => {
    if (reach === undefined) return;
    for (const { start, shares } of axis.tiles) {
      expect(shares.every((share) => share === 0 || share === 1)).toBe(true);
      const first = start + Math.floor(shares.indexOf(1) / FACTOR);
      const last = start + Math.floor(shares.lastIndexOf(1) / FACTOR);
      expect(start === 0 || first - start >= reach).toBe(true);
      expect(start + axis.length === latents || start + axis.length - 1 - last >= reach).toBe(true);
    }
  });
});

test('a picture of one tile is whole', () => {
  expect(tilesAlong(8, { core: 8, factor: 1, reach: undefined })).toEqual({
    length: 8,
    tiles: [{ start: 0, shares: new Float32Array(8).fill(1) }],
  });
});
