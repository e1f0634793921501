import { describe, expect, it } from 'vitest';
import { fold, randomKey } from '../../core/random.ts';
import { fillCanvas, isMirrored, placeRandomly } from './augmentation.ts';
import { filledImage, type PixelImage } from './pixel-image.ts';

const SIZE = 32;
const keys = Array.from({ length: 400 }, (_, i) => fold(randomKey(5), i));

/** A black master: whatever is black on the canvas is the placed picture. */
const blackMaster = filledImage(2 * SIZE, 2 * SIZE, 1, 0);

interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function blackBox({ width, height, data }: PixelImage): Box {
  const columns = Array.from({ length: width }, (_, x) => x).filter((x) =>
    isColumnDark(data, width, height, x),
  );
  const rows = Array.from({ length: height }, (_, y) => y).filter((y) =>
    data.subarray(y * width, (y + 1) * width).includes(0),
  );
  return { left: columns[0]!, top: rows[0]!, width: columns.length, height: rows.length };
}

function isColumnDark(data: Uint8Array, width: number, height: number, x: number): boolean {
  return Array.from({ length: height }, (_, y) => data[y * width + x]).includes(0);
}

it('isMirrored is a fair coin', () => {
  expect(Math.abs(keys.filter(isMirrored).length - 200)).toBeLessThan(50); // five standard deviations
});

describe('placeRandomly', () => {
  const boxes = keys.map((key) => blackBox(placeRandomly(blackMaster, SIZE, key)));

  it('shrinks by 0 to 3 of 32 pixels and keeps the proportions', () => {
    expect([...new Set(boxes.map((box) => box.width))].toSorted()).toEqual([29, 30, 31, 32]);
    for (const box of boxes) expect(box.height).toBe(box.width);
  });

  it('uses every position at which nothing is cut off', () => {
    const corners = boxes.filter((box) => box.width === 30).map((box) => `${box.left},${box.top}`);
    const everywhere = [0, 1, 2].flatMap((left) => [0, 1, 2].map((top) => `${left},${top}`));
    expect([...new Set(corners)].toSorted()).toEqual(everywhere);
  });

  it('is centred on average', () => {
    const offsets = boxes.map((box) => box.left + box.width / 2 - SIZE / 2);
    expect(Math.abs(offsets.reduce((a, b) => a + b) / offsets.length)).toBeLessThan(0.15);
  });

  it('gives the same picture for the same key', () => {
    expect(placeRandomly(blackMaster, SIZE, keys[0]!)).toEqual(placeRandomly(blackMaster, SIZE, keys[0]!));
  });
});

it('fillCanvas averages the 2×2 pixels of the master', () => {
  const master: PixelImage = {
    width: 4,
    height: 2,
    channels: 1,
    data: Uint8Array.of(0, 8, 100, 100, 0, 8, 200, 200),
  };
  expect([...fillCanvas({ ...master, height: 2 }, 2).data.subarray(0, 2)]).toEqual([4, 100]);
});
