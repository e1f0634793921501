/** @file A column: blocks of the same size one below the other. */

import { arrow, type Svg } from '../../charts/svg.ts';
import {
  CLEARANCE,
  type Drawing,
  type DrawnStage,
  drawBar,
  drawLabel,
  LABEL_HEIGHT,
} from './drawing-parts.ts';

const BAR = { length: 210, thickness: 13, gap: 4 } as const;
const LABEL_X = BAR.length + 24;
const LABEL_WIDTH = 140;
const STAGE_GAP = 42;

export function drawColumn(stages: readonly DrawnStage[]): Drawing {
  const parts: Svg[] = [];
  // The first label is higher than its one bar.
  const start = (LABEL_HEIGHT - BAR.thickness) / 2;
  let y = start;
  for (const [i, stage] of stages.entries()) {
    if (i > 0) {
      const [from, to] = [y - STAGE_GAP + CLEARANCE, y - CLEARANCE];
      parts.push(arrow([from, to].map((end) => ({ x: BAR.length / 2, y: end }))));
    }
    const count = stage.blocks?.count ?? 1;
    for (let bar = 0; bar < count; bar++) {
      const top = y + bar * (BAR.thickness + BAR.gap);
      parts.push(drawBar({ x: 0, y: top, width: BAR.length, height: BAR.thickness }, stage.macs));
    }
    const height = count * (BAR.thickness + BAR.gap) - BAR.gap;
    parts.push(drawLabel({ x: LABEL_X, y: y + height / 2 + LABEL_HEIGHT / 2 - 12 }, stage, 'start'));
    y += height + STAGE_GAP;
  }
  return { parts, width: LABEL_X + LABEL_WIDTH, height: y - STAGE_GAP + start };
}
