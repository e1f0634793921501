/** @file How series are told apart: by colour and by shape, so that neither is needed alone. */

export interface SeriesStyle {
  readonly color: string;
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'star' | 'cross' | 'wye';
  /** Of a line, as SVG's stroke-dasharray. */
  readonly dash: string;
}

/** Okabe and Ito's colours, which most colour-blind people tell apart; yellow is left out, for it is pale on white. */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'star', 'cross', 'wye'] as const;
const DASHES = ['none', '6 3', '2 3', '9 3 2 3'];

/** No two of the first 28 are alike. */
export function seriesStyle(index: number): SeriesStyle {
  const round = Math.floor(index / COLORS.length);
  return {
    color: COLORS[index % COLORS.length]!,
    symbol: SYMBOLS[(index + round) % SYMBOLS.length]!,
    dash: DASHES[round % DASHES.length]!,
  };
}
