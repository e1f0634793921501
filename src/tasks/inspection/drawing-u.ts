/** @file A U: levels below each other, stages from left to right, and the arrows between them. */

import { arrow, type Svg } from '../../charts/svg.ts';
import {
  CLEARANCE,
  type Drawing,
  type DrawnStage,
  drawBar,
  drawLabel,
  LABEL_HEIGHT,
} from './drawing-parts.ts';

const LABEL_WIDTH = 116;
/** Stages without blocks say less. */
const SHORT_LABEL_WIDTH = 104;
const STAGE_GAP = 20;
const BAR_GAP = 3;
/** Space for the skip connection above a level's labels. */
const LEVEL_GAP = 22;
/** Of a bar at the outermost level. Inner maps are drawn larger than they are, or their bars would be dots. */
const OUTER_LENGTH = 118;
const SHRINKING = 0.64;
/** Of the bar of the narrowest stage; four times the channels are twice as thick. */
const LEAST_THICKNESS = 9;

/** A stage and the outline of its bars. */
interface PlacedStage {
  readonly stage: DrawnStage;
  readonly thickness: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** @param hasSkips - do stages of one level hand their maps across? */
export function drawU(stages: readonly DrawnStage[], { hasSkips }: { readonly hasSkips: boolean }): Drawing {
  const { placed, width } = placeStages(stages);
  const parts = placed.flatMap((place, i) => {
    const next = placed[i + 1];
    return [
      drawLabel({ x: centreOf(place).x, y: place.top - 10 }, place.stage, 'middle'),
      ...drawBars(place),
      ...(next === undefined ? [] : [drawFlow(place, next)]),
    ];
  });
  return {
    parts: [...parts, ...(hasSkips ? drawSkips(placed) : [])],
    width,
    height: Math.max(...placed.map(({ bottom }) => bottom)),
  };
}

function placeStages(stages: readonly DrawnStage[]): { placed: PlacedStage[]; width: number } {
  const heights = [...new Set(stages.map(({ map }) => map.height))].sort((a, b) => b - a);
  const leastWidth = Math.min(...stages.map(({ map }) => map.channels));
  const lengths = heights.map((_, level) => OUTER_LENGTH * SHRINKING ** level);
  const middles: number[] = [];
  for (const [level, length] of lengths.entries()) {
    const above = level === 0 ? 0 : middles[level - 1]! + LEVEL_GAP;
    middles.push(above + LABEL_HEIGHT + length / 2);
  }
  let x = 0;
  const placed = stages.map((stage): PlacedStage => {
    const level = heights.indexOf(stage.map.height);
    const count = stage.blocks?.count ?? 1;
    const thickness = LEAST_THICKNESS * Math.sqrt(stage.map.channels / leastWidth);
    const barsWidth = count * (thickness + BAR_GAP) - BAR_GAP;
    const cell = Math.max(barsWidth, stage.blocks === undefined ? SHORT_LABEL_WIDTH : LABEL_WIDTH);
    const left = x + (cell - barsWidth) / 2;
    x += cell + STAGE_GAP;
    const [middle, length] = [middles[level]!, lengths[level]!];
    return {
      stage,
      thickness,
      left,
      right: left + barsWidth,
      top: middle - length / 2,
      bottom: middle + length / 2,
    };
  });
  return { placed, width: x - STAGE_GAP };
}

function centreOf({ left, right, top, bottom }: PlacedStage) {
  return { x: (left + right) / 2, y: (top + bottom) / 2 };
}

function drawBars({ stage, thickness, left, top, bottom }: PlacedStage): Svg[] {
  return Array.from({ length: stage.blocks?.count ?? 1 }, (_, i) =>
    drawBar(
      { x: left + i * (thickness + BAR_GAP), y: top, width: thickness, height: bottom - top },
      stage.macs,
    ),
  );
}

/** Along a level, or around the corner to the next one. */
function drawFlow(from: PlacedStage, to: PlacedStage): Svg {
  const [start, end] = [centreOf(from), centreOf(to)];
  const entry = { x: to.left - CLEARANCE, y: end.y };
  if (from.top === to.top) return arrow([{ x: from.right + CLEARANCE, y: start.y }, entry]);
  return from.top < to.top
    ? arrow([{ x: start.x, y: from.bottom + CLEARANCE }, { x: start.x, y: end.y }, entry])
    : arrow([
        { x: from.right + CLEARANCE, y: start.y },
        { x: end.x, y: start.y },
        { x: end.x, y: to.bottom + CLEARANCE },
      ]);
}

/** From each stage of the way down to the first of its level on the way up. */
function drawSkips(placed: readonly PlacedStage[]): Svg[] {
  return placed.flatMap((from, i) => {
    const isWayDown = placed[i + 1] !== undefined && placed[i + 1]!.top > from.top;
    const to = placed.slice(i + 1).find(({ top }) => top === from.top);
    if (!isWayDown || to === undefined) return [];
    const y = centreOf(from).y;
    const [start, end] = [from.right + CLEARANCE, to.left - CLEARANCE];
    return [
      arrow(
        [
          { x: start, y },
          { x: end, y },
        ],
        { dashed: true },
      ),
    ];
  });
}
