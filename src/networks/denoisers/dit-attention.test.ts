/** @file Attention of DiT with fewer tokens, against a loop over every query that knows which keys it sees. */
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { macsOf } from '../../engine/graph/macs.ts';
import { input } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { initialise, normalWith } from '../nn/initialise.ts';
import { rotaryTables } from '../nn/rotary.ts';
import { Attention, type DiTConfig, FULL_ATTENTION } from './dit.ts';

const GRID = { height: 4, width: 8 };
const [WIDTH, HEADS] = [8, 2];
const [TOKENS, HEAD_DIM] = [GRID.height * GRID.width, WIDTH / HEADS];
const CONFIG: DiTConfig = {
  inputSize: 8,
  inChannels: 3,
  numClasses: 3,
  learnSigma: false,
  classDropoutProb: 0,
  patchSize: 2,
  width: WIDTH,
  depth: 1,
  heads: HEADS,
  mlpRatio: 4,
  discardSigma: false,
  ...FULL_ATTENTION,
};

type Sees = (query: Place, key: Place) => boolean;
interface Place {
  readonly row: number;
  readonly column: number;
}

const CASES: readonly (readonly [name: string, change: Partial<DiTConfig>, sees: Sees])[] = [
  ['all', {}, () => true],
  [
    'keys of every second row and column',
    { tokens: 'kv' },
    (_, key) => key.row % 2 === 0 && key.column % 2 === 0,
  ],
  [
    'the same of every second row and column',
    { tokens: 'qkv' },
    (query, key) => query.row % 2 === key.row % 2 && query.column % 2 === key.column % 2,
  ],
  ['one in 16', { tokens: 'kv', downFactor: 4 }, (_, key) => key.row === 0 && key.column % 4 === 0],
  [
    'itself and the fourth beside it',
    { tokens: 'qkv', downFactor: 4 },
    (query, key) => query.row === key.row && query.column % 4 === key.column % 4,
  ],
];

const placeOf = (token: number): Place => ({
  row: Math.floor(token / GRID.width),
  column: token % GRID.width,
});
const x = normal(fold(randomKey(1), 'x'), TOKENS * WIDTH);

function build(change: Partial<DiTConfig>, isRotated: boolean) {
  const layout = isRotated ? { grid: GRID, rotations: rotaryTables(GRID, HEAD_DIM) } : { grid: GRID };
  const layer = new Attention({ ...CONFIG, ...change }).bind();
  const weights = initialise(layer, () => normalWith(0.5), randomKey(2));
  const graph = graphOf({ out: layer.apply(input('x', [1, TOKENS, WIDTH]), layout) });
  return { weights, graph };
}

describe.each([
  ['plain', false],
  ['with rotary positions', true],
])('%s', (_, isRotated) => {
  test.each(CASES)('a token sees %s', (_, change, sees) => {
    const { weights, graph } = build(change, isRotated);
    const weightOf = (name: string) => Array.from(weights.get(name)!.data, Number);
    const affine = (row: readonly number[], layer: string, count: number) =>
      Array.from({ length: count }, (_, o) =>
        row.reduce(
          (sum, value, i) => sum + value * weightOf(`${layer}.weight`)[o * row.length + i]!,
          weightOf(`${layer}.bias`)[o]!,
        ),
      );
    const rotate = (vector: number[], token: number) => {
      if (!isRotated) return vector;
      const { row, column } = placeOf(token);
      // Columns and rows take turns; with 4 channels a head there is one frequency, 1.
      return vector.map((value, i) => {
        const angle = i % 4 < 2 ? column : row;
        const partner = vector[i ^ 1]! * (i % 2 === 0 ? -1 : 1);
        return value * Math.cos(angle) + partner * Math.sin(angle);
      });
    };
    const rows = Array.from({ length: TOKENS }, (_, t) => {
      const qkv = affine(Array.from(x.subarray(t * WIDTH, (t + 1) * WIDTH)), 'qkv', 3 * WIDTH);
      const part = (i: number) => qkv.slice(i * WIDTH, (i + 1) * WIDTH);
      return { q: rotate(part(0), t), k: rotate(part(1), t), v: part(2) };
    });
    const expected = rows.flatMap(({ q }, query) => {
      const mixed = Array.from({ length: HEADS }, (_, head) => {
        const channels = Array.from({ length: HEAD_DIM }, (_, i) => head * HEAD_DIM + i);
        const seen = rows.filter((_, key) => sees(placeOf(query), placeOf(key)));
        const weight = seen.map(({ k }) =>
          Math.exp(channels.reduce((sum, c) => sum + q[c]! * k[c]!, 0) / Math.sqrt(HEAD_DIM)),
        );
        const total = weight.reduce((a, b) => a + b, 0);
        return channels.map((c) => seen.reduce((sum, { v }, i) => sum + (weight[i]! / total) * v[c]!, 0));
      });
      return affine(mixed.flat(), 'proj', WIDTH);
    });
    const out = evaluate(graph, new Map([...weights, ['x', hostTensor('f32', [1, TOKENS, WIDTH], x)]]));
    expectClose(Array.from(out.get('out')!.data, Number), expected, { relative: 1e-6 });
  });
});

test('scores and values cost a quarter with a factor of 2, whichever tokens are downsampled', () => {
  const cost = (change: Partial<DiTConfig>) => {
    const work = macsOf(build(change, false).graph.values()).filter(
      ({ tensor }) => tensor.op === 'attention',
    );
    return work.reduce((sum, { macs }) => sum + macs, 0);
  };
  const full = cost({});
  expect([full, cost({ tokens: 'kv' }), cost({ tokens: 'qkv' })]).toEqual([
    2 * TOKENS ** 2 * WIDTH,
    full / 4,
    full / 4,
  ]);
});
