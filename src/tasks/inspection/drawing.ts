/**
 * @file A model as an SVG picture: a U where the feature map shrinks and grows again, a column where it stays the same.
 * Every block is a bar whose colours are the shares of its multiply-accumulates.
 */

import { formatGiga, formatMillions, formatShare } from '../../charts/format.ts';
import { group, type Svg, svgDocument, text } from '../../charts/svg.ts';
import { type MacCounts, type MacKind, totalMacs } from '../../engine/graph/macs.ts';
import { drawColumn } from './drawing-column.ts';
import { type Drawing, type DrawnStage, drawLegend, GREY, MAC_COLORS } from './drawing-parts.ts';
import { drawU } from './drawing-u.ts';
import type { Inspection } from './inspect.ts';

const MARGIN = 36;
const HEADER = 76;
const LEGEND = { gap: 40, itemWidth: 128, lineHeight: 26 } as const;

/** @param name - the model's, as a title */
export function drawModel(name: string, inspection: Inspection): Svg {
  const stages = inspection.stages.filter((stage): stage is DrawnStage => stage.map !== undefined);
  const isU = new Set(stages.map(({ map }) => map.height)).size > 1;
  // The halves of an autoencoder are joined by the latents alone.
  const hasSkips = inspection.role === 'denoiser';
  const { parts, width, height }: Drawing = isU ? drawU(stages, { hasSkips }) : drawColumn(stages);
  const legendTop = MARGIN + HEADER + height + LEGEND.gap;
  const size = { width: width + 2 * MARGIN, height: legendTop + LEGEND.lineHeight + MARGIN };
  return svgDocument(name, size, [
    text({ x: MARGIN, y: MARGIN + 18 }, name, { size: 24, weight: 700 }),
    text({ x: MARGIN, y: MARGIN + 42 }, describe(inspection), { size: 14, color: GREY }),
    group({ x: MARGIN, y: MARGIN + HEADER }, parts),
    group({ x: MARGIN, y: legendTop }, drawWork(inspection.macs.merged)),
  ]);
}

function describe({ spec: { config }, size, parameters, macs }: Inspection): string {
  return [
    `${config.inChannels}×${size.height}×${size.width}`,
    `${formatMillions(parameters.all)} M parameters`,
    `${formatGiga(totalMacs(macs.merged))} GMACs`,
  ].join('  ·  ');
}

function drawWork(macs: MacCounts): Svg[] {
  const items = (Object.keys(MAC_COLORS) as MacKind[]).map((kind) => ({
    color: MAC_COLORS[kind],
    label: `${kind} ${formatShare(macs[kind] / totalMacs(macs))}`,
  }));
  return drawLegend(items, 'A bar is a block; colours are shares of its multiply-accumulates.', LEGEND);
}
