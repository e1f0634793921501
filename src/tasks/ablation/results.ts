/** @file What an ablation has found so far: a row per variant, gathered from its cells. */

import { type Spread, spreadOf } from '../../metrics/spread.ts';
import type { CurvePoint } from '../training/run/curve.ts';
import type { VariantCost } from './cost.ts';
import type { CellMetrics } from './evaluate.ts';
import type { Variant } from './grid.ts';
import { METRIC_NAMES, type MetricName } from './metrics.ts';

/** A finished cell. */
export interface CellResult {
  readonly seed: number;
  readonly metrics: CellMetrics;
}

export interface VariantResult {
  readonly name: string;
  readonly cost: VariantCost;
  /** Undefined as long as nobody has measured how many the budget of time allows. */
  readonly steps: number | undefined;
  readonly cells: readonly CellResult[];
  /** Over the finished cells; a metric that applies to none of them is missing. */
  readonly metrics: Partial<Readonly<Record<MetricName, Spread>>>;
}

export function variantResult(
  { name }: Variant,
  cost: VariantCost,
  steps: number | undefined,
  cells: readonly CellResult[],
): VariantResult {
  const spreads = METRIC_NAMES.flatMap((metric) => {
    const values = cells.flatMap(({ metrics }) => metrics[metric] ?? []);
    return values.length === 0 ? [] : [[metric, spreadOf(values)] as const];
  });
  return { name, cost, steps, cells, metrics: Object.fromEntries(spreads) };
}

/** The metrics that at least one row has. */
export function measuredMetrics(results: readonly VariantResult[]): MetricName[] {
  return METRIC_NAMES.filter((metric) => results.some(({ metrics }) => metrics[metric] !== undefined));
}

export interface MeanCurvePoint extends CurvePoint {
  readonly deviation?: number;
}

/** Mean and deviation of several curves at the places that all of them have. */
export function meanCurve(curves: readonly (readonly CurvePoint[])[]): MeanCurvePoint[] {
  const [first = [], ...others] = curves.map((curve) => new Map(curve.map(({ x, y }) => [x, y])));
  return [...first].flatMap(([x, y]) => {
    const values = [y, ...others.flatMap((curve) => curve.get(x) ?? [])];
    if (values.length < curves.length) return [];
    const { mean, ...deviation } = spreadOf(values);
    return [{ x, y: mean, ...deviation }];
  });
}
