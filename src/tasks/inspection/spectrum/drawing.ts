/**
 * @file A spectrum as an SVG picture: a panel per stage, in it a bar per time, from noise to data, cut into the octaves
 * that its energy lies in. One frequency has one colour in all panels.
 */

import { formatShare } from '../../../charts/format.ts';
import { group, rectangle, type Svg, svgDocument, text } from '../../../charts/svg.ts';
import { drawLegend, GREY } from '../drawing-parts.ts';
import type { Octave } from './octaves.ts';
import { finestShare, octaveShares, type Spectrum, type StageSpectrum } from './spectrum.ts';

const MARGIN = 36;
const HEADER = 64;
const PANEL = { width: 220, height: 132, gapX: 32, gapY: 62, title: 40, perRow: 4 } as const;
const LEGEND = { itemWidth: 112, lineHeight: 24 } as const;
/** From coarse to fine: dark blue to yellow, of rising lightness, so that order is seen without colours too. */
const COLORS = ['#1b1f5e', '#2f4b9b', '#2a7f9e', '#3aa987', '#86c95a', '#e3d83c', '#fff3a3'];

/** @param name - the model's, as a title */
export function drawSpectrum(name: string, { stages, times }: Spectrum): Svg {
  // All maps cover the picture, so that a frequency is the same number of cycles in each of them.
  const finest = stages.reduce((a, b) => (a.side >= b.side ? a : b)).octaves.slice(1);
  const rows = Math.ceil(stages.length / PANEL.perRow);
  const pitch = { x: PANEL.width + PANEL.gapX, y: PANEL.height + PANEL.gapY };
  const width = Math.min(PANEL.perRow, stages.length) * pitch.x - PANEL.gapX + 2 * MARGIN;
  const legendTop = MARGIN + HEADER + rows * pitch.y;
  const panels = stages.map((stage, i) => {
    const place = {
      x: MARGIN + (i % PANEL.perRow) * pitch.x,
      y: MARGIN + HEADER + Math.floor(i / PANEL.perRow) * pitch.y,
    };
    return group(place, drawStage(stage));
  });
  return svgDocument(
    `${name}: spatial frequencies`,
    { width, height: legendTop + 2 * LEGEND.lineHeight + MARGIN },
    [
      text({ x: MARGIN, y: MARGIN + 18 }, `${name}: spatial frequencies of its features`, {
        size: 20,
        weight: 700,
      }),
      text(
        { x: MARGIN, y: MARGIN + 42 },
        `Shares of energy about the mean, at ${times.length} times from noise (left) to data (right).`,
        { size: 13, color: GREY },
      ),
      ...panels,
      group({ x: MARGIN, y: legendTop }, drawOctaves(finest)),
    ],
  );
}

function drawStage(stage: StageSpectrum): Svg[] {
  const { name, side, energies } = stage;
  const pitch = PANEL.width / energies.length;
  const bars = energies.flatMap((each, time) => {
    let top = PANEL.title + PANEL.height;
    return octaveShares(each).map((share, octave) => {
      const height = share * PANEL.height;
      top -= height;
      return rectangle({ x: time * pitch, y: top, width: pitch - 1, height }, { fill: colorOf(octave) });
    });
  });
  return [
    text({ x: 0, y: 14 }, `${name}  ${side}×${side}`, { size: 13, weight: 600 }),
    text({ x: 0, y: 31 }, `finest octave: ${formatShare(finestShare(stage))}`, { size: 12, color: GREY }),
    ...bars,
  ];
}

function colorOf(octave: number): string {
  return COLORS[Math.min(octave, COLORS.length - 1)]!;
}

function drawOctaves(octaves: readonly Octave[]): Svg[] {
  const items = octaves.map((octave, i) => ({ color: colorOf(i), label: cyclesOf(octave) }));
  const caption =
    'Cycles over the picture. The finest octave of a map, on top, is what half as many tokens a side cannot hold; white noise has 75 % there.';
  return drawLegend(items, caption, LEGEND);
}

/** `2–3.5` */
function cyclesOf({ from, to }: Octave): string {
  const [low, high] = [from / 2, (to - 1) / 2];
  return low === high ? `${low}` : `${low}–${high}`;
}
