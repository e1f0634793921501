/** @file The few SVG elements that drawings are made of. */

/** SVG markup. */
export type Svg = string;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const INK = '#1f2933';
const LINE = '#7b8794';

/** A whole file, on white so that it can be read on any page. */
export function svgDocument(
  title: string,
  { width, height }: Omit<Box, 'x' | 'y'>,
  parts: readonly Svg[],
): Svg {
  const [w, h] = [Math.ceil(width), Math.ceil(height)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family='${FONT}'>`,
    `<title>${escaped(title)}</title>`,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">' +
      `<path d="M0 0.5 L8 4 L0 7.5 Z" fill="${LINE}"/></marker></defs>`,
    rectangle({ x: 0, y: 0, width: w, height: h }, { fill: '#ffffff', radius: 12 }),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

export interface TextStyle {
  readonly size?: number;
  readonly weight?: number;
  readonly color?: string;
  readonly anchor?: 'start' | 'middle' | 'end';
}

/** @param at - where the text's baseline is */
export function text({ x, y }: Point, content: string, style: TextStyle = {}): Svg {
  const { size = 12, weight = 400, color = INK, anchor = 'start' } = style;
  const attributes = `font-size="${size}" font-weight="${weight}" fill="${color}" text-anchor="${anchor}"`;
  return `<text x="${number(x)}" y="${number(y)}" ${attributes}>${escaped(content)}</text>`;
}

export function rectangle(
  { x, y, width, height }: Box,
  { fill, radius = 0 }: { readonly fill: string; readonly radius?: number },
): Svg {
  const size = `x="${number(x)}" y="${number(y)}" width="${number(width)}" height="${number(height)}"`;
  return `<rect ${size} rx="${radius}" fill="${fill}"/>`;
}

/** Parts in coordinates of their own. */
export function group({ x, y }: Point, parts: readonly Svg[]): Svg {
  return `<g transform="translate(${number(x)} ${number(y)})">\n${parts.join('\n')}\n</g>`;
}

/** A line through points that ends in a tip; corners are rounded. */
export function arrow(points: readonly Point[], { dashed = false } = {}): Svg {
  const [start, ...rest] = points as [Point, ...Point[]];
  const steps = rest.map((point, i) => {
    const next = rest[i + 1];
    if (next === undefined) return `L${pair(point)}`;
    const before = rest[i - 1] ?? start;
    return `L${pair(towards(point, before))} Q${pair(point)} ${pair(towards(point, next))}`;
  });
  const dashes = dashed ? ' stroke-dasharray="5 5"' : '';
  return `<path d="M${pair(start)} ${steps.join(' ')}" fill="none" stroke="${LINE}" stroke-width="1.5"${dashes} marker-end="url(#tip)"/>`;
}

const CORNER = 10;

/** From a corner a little way along the line to `end`. */
function towards(corner: Point, end: Point): Point {
  const length = Math.hypot(end.x - corner.x, end.y - corner.y);
  const share = Math.min(CORNER, length / 2) / length;
  return { x: corner.x + (end.x - corner.x) * share, y: corner.y + (end.y - corner.y) * share };
}

function pair({ x, y }: Point): string {
  return `${number(x)} ${number(y)}`;
}

/** Tenths of a pixel are enough. */
function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** As the content of an element. */
export function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
