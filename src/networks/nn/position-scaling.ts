/**
 * @file What positions are on grids larger than the one that a network was trained on. FiT (Lu et al., arXiv 2402.12376)
 * compares these rules, each axis by itself.
 */
import type { ImageSize } from '../../core/image-size.ts';

export const POSITION_SCALINGS = ['none', 'interpolate', 'ntk'] as const;

/**
 * none: positions go on. interpolate: they are scaled into the trained range. ntk: the frequencies' base is stretched, so
 * that the lowest frequency is interpolated and the highest goes on (Peng et al., arXiv 2309.00071).
 */
export type PositionScaling = (typeof POSITION_SCALINGS)[number];

export interface ScaledPositions {
  /** The grid that positions were trained on. Default: the same grid. */
  readonly trained?: ImageSize | undefined;
  /** Default none. */
  readonly scaling?: PositionScaling | undefined;
}

/** Position p of an axis has the angles p · spacing · theta^(−2i / channels). */
export interface AxisPositions {
  readonly spacing: number;
  readonly theta: number;
}

const THETA = 10_000;

/** @param channels - that encode each axis, sines and cosines together */
export function scaledAxes(
  grid: ImageSize,
  channels: number,
  { trained = grid, scaling = 'none' }: ScaledPositions,
): Readonly<Record<'rows' | 'columns', AxisPositions>> {
  return {
    rows: scaledAxis(grid.height / trained.height, channels, scaling),
    columns: scaledAxis(grid.width / trained.width, channels, scaling),
  };
}

function scaledAxis(stretch: number, channels: number, scaling: PositionScaling): AxisPositions {
  if (stretch <= 1 || scaling === 'none') return { spacing: 1, theta: THETA };
  if (scaling === 'interpolate') return { spacing: 1 / stretch, theta: THETA };
  return { spacing: 1, theta: THETA * stretch ** (channels / (channels - 2)) };
}
