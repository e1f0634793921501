/** @file Two-dimensional rotary position embedding, as VisionLLaMA and U-DiT use it. */
import { ConfigError } from '../../core/errors.ts';
import { constantOf } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';

const THETA = 10_000;

/** Rotation of each pair of a head's channels at each token: cosines and sines [T, headDim/2]. */
export interface RotaryTables {
  readonly cos: Unlabelled;
  readonly sin: Unlabelled;
}

/**
 * Tables for a `side`×`side` grid in row-major order. Columns alternate between the position along the row and the
 * position along the column: x0, y0, x1, y1, …
 *
 * @param spacing - between neighbours of the grid
 * @throws ConfigError unless headDim is a multiple of 4
 */
export function rotaryTables(side: number, headDim: number, spacing = 1): RotaryTables {
  if (headDim % 4 !== 0) {
    throw new ConfigError({
      where: 'rope2d',
      problem: `head width ${headDim} is not a multiple of 4, which two axes of rotated pairs need`,
      fix: `use fewer heads or a width that gives ${Math.ceil(headDim / 4) * 4} per head`,
    });
  }
  const columns = headDim / 2;
  const angles = Array.from({ length: side * side * columns }, (_, i) => {
    const [token, column] = [Math.floor(i / columns), i % columns];
    const position = column % 2 === 0 ? token % side : Math.floor(token / side);
    const frequency = Math.fround(THETA ** -((4 * Math.floor(column / 2)) / headDim));
    return Math.fround(spacing * position * frequency);
  });
  const shape = [side * side, columns];
  return { cos: constantOf(shape, angles.map(Math.cos)), sin: constantOf(shape, angles.map(Math.sin)) };
}
