/** @file Where the entries of a legend stand: in columns of one width, as many as fit. */

export interface LegendLayout {
  /** Top left of each entry. */
  readonly places: readonly { readonly x: number; readonly y: number }[];
  readonly height: number;
}

const ROW = 20;
const MARGIN = 16;
/** The sign before a name, and the space behind it. */
const AROUND_NAME = 34 + 18;
/** Wider than DejaVu Sans at 12 pixels is on average, so that names do not touch. */
const LETTER = 7.2;

export function legendLayout(names: readonly string[], width: number): LegendLayout {
  const entry = Math.max(...names.map((name) => name.length * LETTER)) + AROUND_NAME;
  const columns = Math.max(1, Math.floor((width - MARGIN) / entry));
  const rows = Math.ceil(names.length / columns);
  return {
    places: names.map((_, i) => ({
      x: MARGIN + (i % columns) * entry,
      y: Math.floor(i / columns) * ROW,
    })),
    height: rows * ROW + 4,
  };
}
