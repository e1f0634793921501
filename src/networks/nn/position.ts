/** @file Fixed sine-cosine position embedding of a square grid, added to the patch tokens of DiT. */
import { ConfigError } from '../../core/errors.ts';

const THETA = 10_000;

/**
 * One vector of `width` channels per cell of a `side`×`side` grid, [side², width] in row-major order: the first half of
 * the channels encodes the column, the second half the row, each as [sin | cos] of geometrically falling frequencies
 * (Vaswani et al. 2017, in the two-dimensional form of MAE). Computed in float64, rounded once.
 *
 * @throws ConfigError unless width is a multiple of 4
 */
export function sinCosPositions(side: number, width: number): Float32Array {
  if (width % 4 !== 0) {
    throw new ConfigError({
      where: 'sine-cosine positions',
      problem: `width ${width} is not a multiple of 4, which sines and cosines of two axes need`,
      fix: `use width ${Math.ceil(width / 4) * 4}`,
    });
  }
  const frequencies = width / 4;
  const values = new Float32Array(side * side * width);
  for (let cell = 0; cell < side * side; cell++) {
    const [row, column] = [Math.floor(cell / side), cell % side];
    for (let i = 0; i < frequencies; i++) {
      const frequency = 1 / THETA ** (i / frequencies);
      const at = cell * width + i;
      values[at] = Math.sin(column * frequency);
      values[at + frequencies] = Math.cos(column * frequency);
      values[at + 2 * frequencies] = Math.sin(row * frequency);
      values[at + 3 * frequencies] = Math.cos(row * frequency);
    }
  }
  return values;
}
