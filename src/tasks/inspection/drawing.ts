/**
 * @file A model as an SVG picture: a U where the feature map shrinks and grows again, a column where it stays the same.
 * Every block is a bar whose colours are the shares of its multiply-accumulates.
 */

import { formatGiga, formatMillions, formatShare } from '../../charts/format.ts';
import { group, rectangle, type Svg, svgDocument, text } from '../../charts/svg.ts';
import { type MacCounts, type MacKind, totalMacs } from '../../engine/graph/macs.ts';
import { drawColumn } from './drawing-column.ts';
import { type Drawing, type DrawnStage, MAC_COLORS } from './drawing-parts.ts';
import { drawU } from './drawing-u.ts';
import type { Inspection } from './inspect.ts';

const MARGIN = 36;
const HEADER = 76;
const LEGEND = { gap: 40, itemWidth: 128, swatch: 14, lineHeight: 26 } as const;
const GREY = '#52606d';

/** @param name - the model's, as a title */
export function drawModel(name: string, inspection: Inspection): Svg {
  const stages = inspection.stages.filter((stage): stage is DrawnStage => stage.map !== undefined);
  const isU = new Set(stages.map(({ map }) => map.height)).size > 1;
  const { parts, width, height }: Drawing = isU ? drawU(stages) : drawColumn(stages);
  const legendTop = MARGIN + HEADER + height + LEGEND.gap;
  const size = { width: width + 2 * MARGIN, height: legendTop + LEGEND.lineHeight + MARGIN };
  return svgDocument(name, size, [
    text({ x: MARGIN, y: MARGIN + 18 }, name, { size: 24, weight: 700 }),
    text({ x: MARGIN, y: MARGIN + 42 }, describe(inspection), { size: 14, color: GREY }),
    group({ x: MARGIN, y: MARGIN + HEADER }, parts),
    group({ x: MARGIN, y: legendTop }, drawLegend(inspection.macs.merged)),
  ]);
}

function describe({ spec: { config }, size, parameters, macs }: Inspection): string {
  return [
    `${config.inChannels}×${size.height}×${size.width}`,
    `${formatMillions(parameters.all)} M parameters`,
    `${formatGiga(totalMacs(macs.merged))} GMACs`,
  ].join('  ·  ');
}

function drawLegend(macs: MacCounts): Svg[] {
  const items = (Object.keys(MAC_COLORS) as MacKind[]).flatMap((kind, i) => {
    const [x, side] = [i * LEGEND.itemWidth, LEGEND.swatch];
    return [
      rectangle({ x, y: 0, width: side, height: side }, { fill: MAC_COLORS[kind], radius: 3 }),
      text({ x: x + side + 7, y: side - 3 }, `${kind} ${formatShare(macs[kind] / totalMacs(macs))}`),
    ];
  });
  const caption = 'A bar is a block; colours are shares of its multiply-accumulates.';
  return [...items, text({ x: 0, y: LEGEND.swatch + LEGEND.lineHeight - 3 }, caption, { color: GREY })];
}
