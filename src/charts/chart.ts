/**
 * @file Charts of measurements as SVG: lines with a band, or points with error bars; several panels side by side under
 * one legend. Observable Plot draws each panel into a document that needs no browser.
 */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom/worker';
import { type LegendLayout, legendLayout } from './legend.ts';
import { seriesStyle } from './series-style.ts';
import { escaped } from './svg.ts';

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Standard deviation of y; without it the point has no bar and the line no band. */
  readonly deviation?: number;
}

export interface Series {
  readonly name: string;
  /** A line goes through them in this order. */
  readonly points: readonly ChartPoint[];
}

export interface Axis {
  /** With its unit. */
  readonly label: string;
  readonly log?: boolean;
  /** First and last value. Default: those of the points. */
  readonly range?: readonly [number, number];
}

export interface Panel {
  readonly kind: 'lines' | 'points';
  readonly x: Axis;
  readonly y: Axis;
  /** A series has the same place in every panel, also where it has no points. */
  readonly series: readonly Series[];
}

const PANEL = { width: 460, height: 340 };
/** A panel that is alone. */
const LARGE_PANEL = { width: 680, height: 420 };
/** A line of many points is marked at its end, one of few at each. */
const MARKED_POINTS = 12;
const FONT = '"DejaVu Sans", system-ui, -apple-system, "Segoe UI", sans-serif';
const GRID = '#d9dee4';

/** @returns a whole SVG file, on white so that it can be read on any page */
export function drawChart(title: string, panels: readonly Panel[]): string {
  const { document } = parseHTML('<!doctype html><body></body>');
  const size = panels.length === 1 ? LARGE_PANEL : PANEL;
  const width = panels.length * size.width;
  const names = panels[0]!.series.map(({ name }) => name);
  const legend = legendLayout(names, width);
  const top = TITLE_HEIGHT + legend.height;
  const height = top + size.height;
  const drawn = panels.map((panel, i) =>
    placed(drawPanel(panel, size, document), { x: i * size.width, y: top }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${FONT}' fill="#1f2933">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="25" font-size="14" font-weight="600">${escaped(title)}</text>`,
    `<svg y="${TITLE_HEIGHT}" width="${width}" height="${legend.height}">${drawLegend(names, legend, document)}</svg>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

const TITLE_HEIGHT = 38;

function drawPanel({ kind, x, y, series }: Panel, size: typeof PANEL, document: Document): SVGSVGElement {
  const rows = series.map(({ points }) =>
    points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)),
  );
  const barred = rows.map((own) => own.filter(({ deviation = 0 }) => deviation > 0));
  const bounds = {
    x: 'x',
    y1: lowEnd(y.log === true),
    y2: (row: ChartPoint) => row.y + row.deviation!,
  } as const;
  const marks = rows.flatMap((own, index) => {
    const { color, symbol, dash } = seriesStyle(index);
    // Points of equal x stand side by side, so that their bars can be seen.
    const dx = kind === 'points' ? 4 * (index - (series.length - 1) / 2) : 0;
    const marked = kind === 'points' || own.length <= MARKED_POINTS ? own : own.slice(-1);
    return [
      ...(kind === 'lines'
        ? [
            Plot.areaY(barred[index]!, { ...bounds, fill: color, fillOpacity: 0.15 }),
            Plot.line(own, { x: 'x', y: 'y', stroke: color, strokeWidth: 1.75, strokeDasharray: dash }),
          ]
        : [Plot.ruleX(barred[index]!, { ...bounds, dx, stroke: color, strokeWidth: 1.5 })]),
      Plot.dot(marked, {
        x: 'x',
        y: 'y',
        dx,
        symbol,
        fill: color,
        stroke: '#ffffff',
        strokeWidth: 0.75,
        r: 4.5,
      }),
    ];
  });
  return Plot.plot({
    document,
    ...size,
    marginLeft: 68,
    marginBottom: 52,
    marginTop: 12,
    marginRight: 24,
    style: { fontSize: '12px', fontFamily: 'inherit', background: 'none', color: 'inherit' },
    x: { ...scaleOf(x), labelOffset: 42, inset: 12, tickSpacing: 70 },
    y: { ...scaleOf(y), labelOffset: 60, inset: 8, nice: y.log !== true },
    marks: [Plot.gridY({ stroke: GRID, strokeOpacity: 1 }), Plot.frame({ stroke: GRID }), ...marks],
  }) as SVGSVGElement;
}

/** A bar that reaches below zero has no place on a logarithmic axis; there it ends a factor below its point. */
function lowEnd(log: boolean): (row: ChartPoint) => number {
  return ({ y, deviation }) => {
    const low = y - deviation!;
    return log && low <= 0 ? y / 10 : low;
  };
}

function scaleOf({ label, log = false, range }: Axis): Plot.ScaleOptions {
  return {
    ...(range && { domain: [...range] }),
    label,
    labelAnchor: 'center',
    labelArrow: 'none',
    type: log ? 'log' : 'linear',
    tickFormat: formatTick,
  };
}

/** `2k`, `1.5`, `0.002` */
function formatTick(value: number): string {
  if (Math.abs(value) >= 1e6) return `${shortest(value / 1e6)}M`;
  return Math.abs(value) >= 1e3 ? `${shortest(value / 1e3)}k` : shortest(value);
}

/** Without the digits that arithmetic adds. */
function shortest(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function drawLegend(names: readonly string[], { places }: LegendLayout, document: Document): string {
  return names
    .map((name, index) => {
      const { color, symbol, dash } = seriesStyle(index);
      const { x, y } = places[index]!;
      const sign = Plot.plot({
        document,
        width: 28,
        height: 14,
        margin: 0,
        axis: null,
        x: { domain: [0, 1], range: [0, 28] },
        y: { domain: [0, 1] },
        marks: [
          Plot.line(
            [
              [0, 0.5],
              [1, 0.5],
            ],
            { stroke: color, strokeWidth: 1.75, strokeDasharray: dash },
          ),
          Plot.dot([[0.5, 0.5]], { symbol, fill: color, stroke: '#ffffff', strokeWidth: 0.75, r: 4.5 }),
        ],
      }) as SVGSVGElement;
      return `${placed(sign, { x, y })}<text x="${x + 34}" y="${y + 11}" font-size="12">${escaped(name)}</text>`;
    })
    .join('\n');
}

/** As a part of a larger drawing, without the style sheet that browsers alone would need. */
function placed(svg: SVGSVGElement, { x, y }: { readonly x: number; readonly y: number }): string {
  for (const style of svg.querySelectorAll('style')) style.remove();
  svg.removeAttribute('class');
  svg.setAttribute('x', String(x));
  svg.setAttribute('y', String(y));
  return svg.outerHTML;
}
