/** @file Precision against recall, for balls that reach ever farther neighbours. */
import { drawChart } from '../../charts/chart.ts';
import { ConfigError } from '../../core/errors.ts';
import type { FeatureRows } from '../../metrics/feature-rows.ts';
import { type ManifoldOptions, type ManifoldPoint, manifoldCurve } from '../../metrics/manifold.ts';

/** Numbers of neighbours beside the one that is asked for. */
const NEIGHBOURS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

interface PlottedSide {
  readonly name: string;
  readonly features: FeatureRows;
}

/**
 * @returns a whole SVG file
 * @throws ConfigError if a side has too few pictures for the neighbours that are asked for
 */
export async function manifoldPlot(
  reference: PlottedSide,
  samples: PlottedSide,
  { k = 3, ...options }: ManifoldOptions,
): Promise<string> {
  const fewest = Math.min(reference.features.count, samples.features.count);
  if (fewest <= k) {
    throw new ConfigError({
      where: '--plot',
      problem: `of ${fewest} pictures none has a neighbour number ${k}`,
      fix: `give more than ${k} pictures, or lower --k`,
    });
  }
  const possible = [...NEIGHBOURS, k].filter((each) => each < fewest);
  const curve = await manifoldCurve(reference.features, samples.features, possible, options);
  return drawCurve(curve, k, `${samples.name} against ${reference.name} (real)`);
}

function drawCurve(curve: readonly ManifoldPoint[], k: number, title: string): string {
  const pointOf = ({ recall, precision }: ManifoldPoint) => ({ x: recall, y: precision });
  const [first, last] = [curve[0]!.k, curve.at(-1)!.k];
  const range = [0, 1] as const;
  return drawChart(title, [
    {
      kind: 'lines',
      x: { label: 'recall: share of the reference within the samples', range },
      y: { label: 'precision: share of the samples within the reference', range },
      series: [
        { name: `${first} to ${last} neighbours`, points: curve.map(pointOf) },
        { name: `k = ${k}`, points: curve.filter((point) => point.k === k).map(pointOf) },
      ],
    },
  ]);
}
