/**
 * Every operation on both backends of ONNX Runtime against the float64 evaluator: as in training (weights are fed), as
 * in inference (weights are known), and the gradients.
 */
import { describe, expect, it } from 'vitest';
import type { DType } from '../src/core/dtype.ts';
import { type TensorMap, tensorOf, toNumbers } from '../src/core/host-tensor.ts';
import { checkGraph, type Graph, graphOf } from '../src/engine/graph/graph.ts';
import * as ops from '../src/engine/graph/operators.ts';
import { simplify } from '../src/engine/graph/rewrite.ts';
import type { Tensor } from '../src/engine/graph/tensor.ts';
import { gradients } from '../src/engine/graph/vjp.ts';
import { evaluate } from '../src/engine/interp/evaluate.ts';
import { lowerGraph } from '../src/engine/onnx/lower.ts';
import { GPU, type LowerOptions, OLDER, PORTABLE, typeFor } from '../src/engine/onnx/lowering.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import type { Backend, SessionOptions } from '../src/engine/runtime/session.ts';
import { wasmBackend } from '../src/engine/runtime/wasm-web.ts';
import { expectClose, type Tolerance } from './support/closeness.ts';
import { buildCase, hasGradient, OP_CASES, type OpCase, titleOf, weightedSum } from './support/op-cases.ts';

/** How far a backend may be from float64, relative to the largest value of an output. */
const TOLERANCE: Readonly<Record<DType, Tolerance>> = {
  f32: { relative: 2e-6 },
  f64: { relative: 1e-14 },
  i32: { relative: 0 },
  i64: { relative: 0 },
  u8: { relative: 0 },
  i8: { relative: 0 },
  bool: { relative: 0 },
};

async function runOn(
  backend: Backend,
  graph: Graph,
  feeds: TensorMap,
  purpose: SessionOptions['purpose'],
  options: LowerOptions,
): Promise<TensorMap> {
  const session = await backend.createSession(lowerGraph(graph, options), { purpose });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

function expectSameOutputs(graph: Graph, actual: TensorMap, feeds: TensorMap, features = PORTABLE): void {
  const expected = evaluate(graph, feeds);
  for (const [name, tensor] of graph) {
    const output = actual.get(name)!;
    expect(output.dtype, name).toBe(typeFor(features, tensor));
    expect(output.shape, name).toEqual(tensor.shape);
    expectClose(toNumbers(output), expected.get(name)!.data, TOLERANCE[tensor.dtype]);
  }
}

/** y and its gradients. */
function withGradients(y: Tensor, targets: readonly Tensor[]): Graph {
  const named = gradients(weightedSum(y), targets).map((dx, i) => [`dx${i}`, dx] as const);
  return graphOf({ y, ...Object.fromEntries(named) });
}

const titled = (cases: readonly OpCase[]) => cases.map((opCase) => [titleOf(opCase), opCase] as const);

describe.each([cpuBackend, wasmBackend])('$name', (backend) => {
  describe('with fed weights', () => {
    it.each(titled(OP_CASES))('%s', async (_, opCase) => {
      const { y, feeds } = buildCase(opCase);
      const graph = graphOf({ y });
      checkGraph(graph);
      const features = await backend.features();
      expectSameOutputs(graph, await runOn(backend, graph, feeds, 'training', { features }), feeds);
    });
  });

  describe('with known weights', () => {
    it.each(titled(OP_CASES))('%s', async (_, opCase) => {
      const { y, feeds, weights } = buildCase(opCase, 'known');
      const graph = graphOf({ y });
      const features = await backend.features();
      const outputs = await runOn(backend, graph, feeds, 'inference', { features, weights });
      expectSameOutputs(graph, outputs, new Map([...feeds, ...weights]));
    });
  });

  describe('gradients', () => {
    it.each(titled(OP_CASES.filter(hasGradient)))('%s', async (_, opCase) => {
      const { inputs, y, feeds } = buildCase(opCase);
      const targets = inputs.filter((_, i) => opCase.operands[i]!.differentiable);
      const graph = simplify(withGradients(y, targets));
      checkGraph(graph);
      const features = await backend.features();
      expectSameOutputs(graph, await runOn(backend, graph, feeds, 'training', { features }), feeds);
    });
  });
});

/** [4] rows that are easy to get wrong: zeros, equal values, huge and tiny ones. */
const EDGE_ROWS = tensorOf(
  'f32',
  [5, 4],
  [
    ...[0, 0, 0, 0],
    ...[3, 3, 3, 3],
    ...[1e4, -1e4, 1e4, 0],
    ...[1e-10, -1e-10, 0, 1e-10],
    ...[90, -90, 20, -20],
  ],
);

const EDGE_CASES: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  tanh: ops.tanh,
  sigmoid: ops.sigmoid,
  erf: ops.erf,
  'gelu, exact': (x) => ops.gelu(x, 'none'),
  'gelu, tanh approximation': (x) => ops.gelu(x, 'tanh'),
  'geluGate, exact': (x) => ops.geluGate(x, 'none'),
  'geluGate, tanh approximation': (x) => ops.geluGate(x, 'tanh'),
  softmax: ops.softmax,
  layerNorm: (x) => ops.layerNorm(x, 1e-6),
  inverseDeviation: (x) => ops.inverseDeviation(x, 1e-6),
  l2Normalize: (x) => ops.l2Normalize(x),
  inverseNorm: (x) => ops.inverseNorm(x, 1e-12),
};

describe.each([cpuBackend, wasmBackend])(
  'rows of zeros, of equal, huge and tiny values on $name',
  (backend) => {
    it.each(Object.entries(EDGE_CASES))('%s', async (_, build) => {
      const features = await backend.features();
      // Row by row, so that a small row is not judged by the scale of a huge one.
      for (let row = 0; row < 5; row++) {
        const feeds = new Map([['x', tensorOf('f32', [1, 4], EDGE_ROWS.data.slice(row * 4, row * 4 + 4))]]);
        const graph = graphOf({ y: build(ops.input('x', [1, 4])) });
        expectSameOutputs(graph, await runOn(backend, graph, feeds, 'training', { features }), feeds);
      }
    });
  },
);

describe.each([PORTABLE, OLDER])('standard ONNX alone, opset $opset', (features) => {
  describe.each(['fed', 'known'] as const)('with %s weights', (kind) => {
    it.each(titled(OP_CASES))('%s', async (_, opCase) => {
      const { y, feeds, weights } = buildCase(opCase, kind);
      const graph = graphOf({ y });
      const options = { features, ...(kind === 'known' ? { weights } : {}) };
      const purpose = kind === 'known' ? 'inference' : 'training';
      const outputs = await runOn(cpuBackend, graph, feeds, purpose, options);
      expectSameOutputs(graph, outputs, new Map([...feeds, ...weights]));
    });
  });
});

describe('the forms for GPUs, computed on the CPU', () => {
  /** As the backend of a GPU feeds them. */
  const narrowed = (feeds: TensorMap): TensorMap =>
    new Map(
      [...feeds].map(([name, value]) => [
        name,
        value.dtype === 'i64' ? tensorOf('i32', value.shape, Array.from(toNumbers(value))) : value,
      ]),
    );

  describe.each(['fed', 'known'] as const)('with %s weights', (kind) => {
    it.each(titled(OP_CASES))('%s', async (_, opCase) => {
      const { y, feeds, weights } = buildCase(opCase, kind);
      const graph = graphOf({ y });
      const options = { features: GPU, ...(kind === 'known' ? { weights } : {}) };
      const purpose = kind === 'known' ? 'inference' : 'training';
      const outputs = await runOn(cpuBackend, graph, narrowed(feeds), purpose, options);
      expectSameOutputs(graph, outputs, new Map([...feeds, ...weights]), GPU);
    });
  });

  describe('gradients', () => {
    it.each(titled(OP_CASES.filter(hasGradient)))('%s', async (_, opCase) => {
      const { inputs, y, feeds } = buildCase(opCase);
      const targets = inputs.filter((_, i) => opCase.operands[i]!.differentiable);
      const graph = simplify(withGradients(y, targets));
      const outputs = await runOn(cpuBackend, graph, narrowed(feeds), 'training', { features: GPU });
      expectSameOutputs(graph, outputs, feeds, GPU);
    });
  });
});

describe('convolutions in the blocked layout and in portable form', async () => {
  const features = await cpuBackend.features();
  const { nchwcBlock } = features;
  const cases = OP_CASES.filter(({ op }) => /conv/i.test(op));
  // The blocked layout is there on x86 with AVX2 and better; elsewhere both lowerings are the same.
  const title = nchwcBlock === null ? 'skipped: this CPU has no blocked layout' : `blocks of ${nchwcBlock}`;
  describe.skipIf(nchwcBlock === null)(title, () => {
    it.each(titled(cases))('%s', async (_, opCase) => {
      const { inputs, y, feeds } = buildCase(opCase);
      const graph = hasGradient(opCase) ? withGradients(y, inputs) : graphOf({ y });
      const blocked = await runOn(cpuBackend, graph, feeds, 'training', { features });
      const portable = await runOn(cpuBackend, graph, feeds, 'training', { features: PORTABLE });
      for (const name of graph.keys()) {
        expectClose(toNumbers(blocked.get(name)!), toNumbers(portable.get(name)!), TOLERANCE.f32);
      }
    });

    it('has cases that use it', () => {
      const graph = graphOf({ y: buildCase(cases.find(({ op }) => op === 'depthwiseConv2d')!).y });
      expect(lowerGraph(graph, { features })).not.toEqual(lowerGraph(graph, { features: PORTABLE }));
    });
  });
});
