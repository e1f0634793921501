/** @file What drawings of all shapes are made of: bars for blocks, and what is written beside them. */

import { formatGiga, plural } from '../../charts/format.ts';
import { type Box, type Point, rectangle, type Svg, type TextStyle, text } from '../../charts/svg.ts';
import { type MacCounts, type MacKind, totalMacs } from '../../engine/graph/macs.ts';
import type { StageCost } from './inspect.ts';

/** A stage that has a feature map; others are not drawn. */
export type DrawnStage = StageCost & Required<Pick<StageCost, 'map'>>;

export interface Drawing {
  readonly parts: readonly Svg[];
  readonly width: number;
  readonly height: number;
}

export const GREY = '#52606d';

export const MAC_COLORS: Readonly<Record<MacKind, string>> = {
  attention: '#e4572e',
  linear: '#f5b841',
  convolution: '#3b6fb6',
};

/** One bar, cut along its longer side in the shares of the work. */
export function drawBar(box: Box, macs: MacCounts): Svg {
  const isUpright = box.height >= box.width;
  const length = isUpright ? box.height : box.width;
  let start = 0;
  return (Object.keys(MAC_COLORS) as MacKind[])
    .filter((kind) => macs[kind] > 0)
    .map((kind) => {
      const size = (length * macs[kind]) / totalMacs(macs);
      const part = isUpright
        ? { ...box, y: box.y + start, height: size }
        : { ...box, x: box.x + start, width: size };
      start += size;
      return rectangle(part, { fill: MAC_COLORS[kind], radius: 1.5 });
    })
    .join('');
}

const LINE_HEIGHT = 16;
/** Of a label with all its lines. */
export const LABEL_HEIGHT = 4 * LINE_HEIGHT;
/** Between what is drawn and the arrows that touch it. */
export const CLEARANCE = 7;

/** Name, map, blocks and cost, one below the other; `at` is the bottom of the last line. */
export function drawLabel({ x, y }: Point, stage: DrawnStage, anchor: TextStyle['anchor']): Svg {
  const { name, map, blocks, macs } = stage;
  const lines = [
    `${map.height}×${map.width} · ${map.channels} wide`,
    ...(blocks === undefined ? [] : [`${plural(blocks.count, 'block')} · ${plural(blocks.heads, 'head')}`]),
    `${formatGiga(totalMacs(macs))} GMACs`,
  ];
  const top = y - lines.length * LINE_HEIGHT;
  return [
    text({ x, y: top }, name, { size: 14, weight: 600, ...(anchor && { anchor }) }),
    ...lines.map((line, i) =>
      text({ x, y: top + (i + 1) * LINE_HEIGHT }, line, { color: GREY, ...(anchor && { anchor }) }),
    ),
  ].join('');
}

const SWATCH = 14;

export interface LegendItem {
  readonly color: string;
  readonly label: string;
}

/** A row of colours with their names, and a line below it. */
export function drawLegend(
  items: readonly LegendItem[],
  caption: string,
  { itemWidth, lineHeight }: { readonly itemWidth: number; readonly lineHeight: number },
): Svg[] {
  const row = items.flatMap(({ color, label }, i) => {
    const x = i * itemWidth;
    return [
      rectangle({ x, y: 0, width: SWATCH, height: SWATCH }, { fill: color, radius: 3 }),
      text({ x: x + SWATCH + 7, y: SWATCH - 3 }, label),
    ];
  });
  return [...row, text({ x: 0, y: SWATCH + lineHeight - 3 }, caption, { color: GREY })];
}
