import { expect, test } from 'vitest';
import { type HostTensor, tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { sourceOf, type TensorSource } from '../../core/tensor-source.ts';
import { graphOf } from '../graph/graph.ts';
import { add, matmul, parameter, slice } from '../graph/operators.ts';
import { evaluate } from '../interp/evaluate.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import type { Backend } from '../runtime/session.ts';
import { foldWeights } from './fold.ts';

const random = (shape: readonly number[], seed: number) =>
  tensorOf('f32', shape, normal(randomKey(seed), sizeOf(shape)));

/** Two stacked linear maps merged, as U-DiT has many of. */
function merged(name: string) {
  const [first, second] = [parameter(`${name}.0`, [3, 2]), parameter(`${name}.1`, [4, 3])];
  return { product: matmul(second, first), part: slice(second, 0, 1, 3) };
}

const LAYERS = ['a', 'b', 'c'];
const folded = graphOf(
  Object.fromEntries(
    LAYERS.flatMap((name) => Object.entries(merged(name)).map(([key, value]) => [`${name} ${key}`, value])),
  ),
);
const weights = new Map<string, HostTensor>(
  LAYERS.flatMap((name, i) => [
    [`${name}.0`, random([3, 2], i)],
    [`${name}.1`, random([4, 3], 10 + i)],
  ]),
);

async function fold(source: TensorSource, backend: Backend = cpuBackend): Promise<Map<string, HostTensor>> {
  const values = new Map<string, HostTensor>();
  await foldWeights(folded, source, backend, (name, value) => void values.set(name, value));
  return values;
}

test('values are those of the graph as a whole', async () => {
  const expected = evaluate(folded, weights);
  const values = await fold(sourceOf(weights));
  expect([...values.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { shape, data }] of expected) {
    expect(values.get(name)!.shape).toEqual(shape);
    const actual = Array.from(toNumbers(values.get(name)!));
    actual.forEach((value, i) => {
      expect(value).toBeCloseTo(data[i]!, 5);
    });
  }
});

test('groups that do the same share a program, and weights are read group by group', async () => {
  let programs = 0;
  const counting: Backend = {
    ...cpuBackend,
    createSession(model, options) {
      programs++;
      return cpuBackend.createSession(model, options);
    },
  };
  const order: string[] = [];
  const source: TensorSource = {
    infos: weights,
    async read(name) {
      order.push(name);
      return weights.get(name)!;
    },
  };
  await foldWeights(folded, source, counting, (name) => void order.push(name));
  expect(programs).toBe(1);
  const group = (name: string) => [`${name}.0`, `${name}.1`, `${name} product`, `${name} part`];
  expect(order).toEqual(LAYERS.flatMap(group));
});

test('what shares a parameter is one group; other constants make other programs', async () => {
  const [x, y, z] = ['x', 'y', 'z'].map((name) => parameter(name, [2]));
  const graph = graphOf({
    xy: add(x!, y!),
    z3: add(z!, 3),
    yz: add(y!, z!),
    x4: add(x!, 4),
    fixed: add(1, 2),
  });
  const values = new Map<string, HostTensor>();
  const source = sourceOf(
    new Map(['x', 'y', 'z'].map((name, i) => [name, tensorOf('f32', [2], [i, 10 * i])])),
  );
  await foldWeights(graph, source, cpuBackend, (name, value) => void values.set(name, value));
  const plain = Object.fromEntries(
    [...values].map(([name, { data }]) => [name, Array.from(data as Float32Array)]),
  );
  expect(plain).toEqual({ xy: [1, 10], z3: [5, 23], yz: [3, 30], x4: [4, 4], fixed: [3] });
});

test('a weight that is missing', async () => {
  const source = sourceOf(new Map([...weights].filter(([name]) => name !== 'b.1')));
  await expect(fold(source)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[CheckpointError: CheckpointError: compile: the weights have no value for b.1]`,
  );
});

test('a weight of another shape', async () => {
  const source = sourceOf(new Map(weights).set('c.0', random([2, 2], 0)));
  await expect(fold(source)).rejects.toThrowErrorMatchingInlineSnapshot(`
    [CheckpointError: CheckpointError: compile: the weights have c.0 with shape [2,2], the graph reads [3,2]
      fix: use the weights of this model]
  `);
});
