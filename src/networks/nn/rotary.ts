/** @file Two-dimensional rotary position embedding, as VisionLLaMA and U-DiT use it. */
import { ConfigError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { constantOf } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import { type ScaledPositions, scaledAxes } from './position-scaling.ts';

/** Rotation of each pair of a head's channels at each token: cosines and sines [T, headDim/2]. */
export interface RotaryTables {
  readonly cos: Unlabelled;
  readonly sin: Unlabelled;
}

export interface RotaryOptions extends ScaledPositions {
  /** Between neighbours of the grid. Default 1. */
  readonly spacing?: number;
}

/**
 * Tables for a grid in row-major order. Columns alternate between the position along the row and the position along the
 * column: x0, y0, x1, y1, …
 *
 * @throws ConfigError unless headDim is a multiple of 4
 */
export function rotaryTables(
  grid: ImageSize,
  headDim: number,
  { spacing = 1, ...scaled }: RotaryOptions = {},
): RotaryTables {
  if (headDim % 4 !== 0) {
    throw new ConfigError({
      where: 'rope2d',
      problem: `head width ${headDim} is not a multiple of 4, which two axes of rotated pairs need`,
      fix: `use fewer heads or a width that gives ${Math.ceil(headDim / 4) * 4} per head`,
    });
  }
  const axes = scaledAxes(grid, headDim / 2, scaled);
  const columns = headDim / 2;
  const shape = [grid.height * grid.width, columns];
  const angles = Array.from({ length: shape[0]! * columns }, (_, i) => {
    const [token, column] = [Math.floor(i / columns), i % columns];
    const alongRow = column % 2 === 0;
    const axis = alongRow ? axes.columns : axes.rows;
    const position = alongRow ? token % grid.width : Math.floor(token / grid.width);
    const frequency = Math.fround(axis.theta ** -((4 * Math.floor(column / 2)) / headDim));
    return Math.fround(spacing * axis.spacing * position * frequency);
  });
  return { cos: constantOf(shape, angles.map(Math.cos)), sin: constantOf(shape, angles.map(Math.sin)) };
}
