import { expect, test } from 'vitest';
import { spreadOf } from '../../metrics/spread.ts';
import { parseGrid, type Variant } from './grid.ts';
import { meanCurve, variantResult } from './results.ts';
import { formatTable } from './table.ts';

const COST = { macs: 2.5e8, parameters: 2e6, mergedParameters: 1.5e6, macsPerStep: 1, evaluationMacs: 1 };

test('mean and sample standard deviation', () => {
  expect(spreadOf([1, 2, 6])).toEqual({ mean: 3, deviation: Math.sqrt(7) });
  expect(spreadOf([4])).toEqual({ mean: 4 });
});

test('the mean of curves, where all of them have a point', () => {
  const curves = [[0, 1, 2].map((x) => ({ x, y: x })), [0, 2, 3].map((x) => ({ x, y: 3 * x }))];
  expect(meanCurve(curves)).toEqual([
    { x: 0, y: 0, deviation: 0 },
    { x: 2, y: 4, deviation: Math.sqrt(8) },
  ]);
  expect(meanCurve([])).toEqual([]);
});

test('a table with finished, half finished and future rows', () => {
  const variants = ['both | seeds', 'one seed', 'none'].map((name) => ({ name }));
  const grid = parseGrid(
    { description: 'What is compared.', variants, seeds: [0, 1], budget: { steps: 1000 }, evaluation: {} },
    'grid.json',
    'grid',
  );
  const metrics = (heldOutLoss: number) => ({
    heldOutLoss,
    boundBits: null,
    swd: null,
    frechet: 10 * heldOutLoss,
  });
  const cells = [
    [
      { seed: 0, metrics: metrics(0.2) },
      { seed: 1, metrics: metrics(0.3) },
    ],
    [{ seed: 0, metrics: metrics(0.4) }],
    [],
  ];
  const results = grid.variants.map((variant: Variant, i) =>
    variantResult(variant, COST, i === 2 ? undefined : 1000, cells[i]!),
  );
  expect(formatTable(grid, results)).toMatchInlineSnapshot(`
    "# grid

    What is compared.

    | variant | GMACs | parameters | steps | held-out loss | Fréchet 8×8 RGB (proxy) |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | both \\| seeds | 0.25 | 1.50 M | 1,000 | 0.2500 ± 0.0707 | 2.50 ± 0.71 |
    | one seed | 0.25 | 1.50 M | 1,000 | 0.4000 | 4.00 |
    | none | 0.25 | 1.50 M | – | – | – |

    3 of 6 cells; mean ± standard deviation over seeds 0, 1. Averaged (EMA) weights. Less is better.

    - GMACs and parameters: of one image and of the network as it draws, with parallel kernels merged.
    - held-out loss: the training objective on pictures that training never sees, at fixed, evenly spread times with fixed noise.
    - Fréchet 8×8 RGB (proxy): the Fréchet distance of drawn pictures from the data, both reduced to the mean colours of 8×8 tiles: a small-scale proxy for FID, good for comparing rows of this table and for nothing else.
    - Each held-out picture at 16 times; 504 drawn pictures, cfg scale 1.
    "
  `);
});
