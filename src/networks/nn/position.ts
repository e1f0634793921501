/** @file Fixed sine-cosine position embedding of a grid, added to the patch tokens of DiT. */
import { ConfigError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { type ScaledPositions, scaledAxes } from './position-scaling.ts';

/**
 * One vector of `width` channels per cell of a grid, [cells, width] in row-major order: the first half of the channels
 * encodes the column, the second half the row, each as [sin | cos] of geometrically falling frequencies (Vaswani et al.
 * 2017, in the two-dimensional form of MAE). Computed in float64, rounded once.
 *
 * @throws ConfigError unless width is a multiple of 4
 */
export function sinCosPositions(grid: ImageSize, width: number, scaled: ScaledPositions = {}): Float32Array {
  if (width % 4 !== 0) {
    throw new ConfigError({
      where: 'sine-cosine positions',
      problem: `width ${width} is not a multiple of 4, which sines and cosines of two axes need`,
      fix: `use width ${Math.ceil(width / 4) * 4}`,
    });
  }
  const { rows, columns } = scaledAxes(grid, width / 2, scaled);
  const frequencies = width / 4;
  const cells = grid.height * grid.width;
  const values = new Float32Array(cells * width);
  for (let cell = 0; cell < cells; cell++) {
    const row = Math.floor(cell / grid.width) * rows.spacing;
    const column = (cell % grid.width) * columns.spacing;
    for (let i = 0; i < frequencies; i++) {
      const ofRow = row * (1 / rows.theta ** (i / frequencies));
      const ofColumn = column * (1 / columns.theta ** (i / frequencies));
      const at = cell * width + i;
      values[at] = Math.sin(ofColumn);
      values[at + frequencies] = Math.cos(ofColumn);
      values[at + 2 * frequencies] = Math.sin(ofRow);
      values[at + 3 * frequencies] = Math.cos(ofRow);
    }
  }
  return values;
}
