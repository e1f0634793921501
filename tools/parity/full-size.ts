/**
 * @file Published models at their full size. Their weights come from a formula of position and index, so that none have
 * to be kept; they are computed one tensor at a time, since the largest model has 3.7 GB of them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../../src/core/host-tensor.ts';
import { randomKey } from '../../src/core/random.ts';
import { sizeOf } from '../../src/core/shape.ts';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { DiskCache } from '../../src/engine/compile/disk-cache-node.ts';
import { compileInference } from '../../src/engine/compile/inference.ts';
import { graphOf } from '../../src/engine/graph/graph.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { createModel, type ModelSpec } from '../../src/networks/registry.ts';
import { type Comparison, compareExactly, compareNumbers, compareTensors } from './comparison.ts';
import { type Fixture, requireTensor } from './fixture.ts';
import { formulaTensor } from './formula.ts';
import type { Check, FixtureKind } from './kind.ts';
import { presetOfReference } from './reference-config.ts';
import { inputsFrom } from './run-graph.ts';
import { EXACT, README_TOLERANCES, StatedTolerance } from './tolerance.ts';

const schema = v.object({
  model: v.string(),
  t: v.array(v.number()),
  y: v.array(v.number()),
  params: v.number(),
  variants: v.object({
    v2: v.object({ first_values_of_first_parameters: v.record(v.string(), v.array(v.number())) }),
  }),
  tolerance: v.optional(v.string(), README_TOLERANCES.fullSize),
});
type Json = v.InferOutput<typeof schema>;

export const fullSize: FixtureKind = {
  name: 'full size',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    const spec = parsed.success ? presetOfReference(parsed.output.model) : undefined;
    return parsed.success && spec !== undefined ? checkFullSize(fixture, parsed.output, spec) : undefined;
  },
};

function checkFullSize(fixture: Fixture, json: Json, spec: ModelSpec): Check {
  return async (backend) => {
    const model = createModel(spec);
    const weights = formulaWeights(model);
    const x = requireTensor(fixture.tensors, 'x_v2', fixture.name);
    const out = await forward(model, weights, backend, {
      x,
      t: tensorOf('f32', [json.t.length], json.t),
      y: tensorOf('i64', [json.y.length], json.y),
    });
    const recorded = requireTensor(fixture.tensors, 'out_v2', fixture.name);
    const count = [...weights.infos.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    return {
      comparisons: [
        compareExactly('params', count, json.params),
        compareTensors('x_v2', formulaTensor(INPUT_POSITION, INPUT_SPREAD, x.shape), x, EXACT),
        ...(await compareFirstValues(weights, json.variants.v2.first_values_of_first_parameters)),
        compareTensors('out_v2', out, recorded, new StatedTolerance(json.tolerance).of()),
      ],
      notCompared: ['out_v1: neighbours of its formula are so alike that swapped weights hardly show'],
    };
  };
}

async function forward(
  model: Denoiser,
  weights: TensorSource,
  backend: Backend,
  inputs: Readonly<Record<'x' | 't' | 'y', HostTensor>>,
): Promise<HostTensor | undefined> {
  const feeds: TensorMap = new Map(Object.entries(inputs));
  const leaf = inputsFrom(feeds, 'full size');
  const graph = graphOf({ out: model.apply(leaf('x'), { t: leaf('t'), y: leaf('y') }) });
  const folder = await mkdtemp(join(tmpdir(), 'udit-parity-'));
  try {
    const cache = new DiskCache({ folder, maxBytes: Number.POSITIVE_INFINITY });
    const session = await compileInference(graph, weights, backend, { cache });
    const results = await session.run(feeds);
    await session.release();
    return results.get('out');
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function compareFirstValues(
  weights: TensorSource,
  recorded: Readonly<Record<string, readonly number[]>>,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const [name, values] of Object.entries(recorded)) {
    const { data } = (await weights.read(name)) as HostTensor<'f32'>;
    comparisons.push(compareNumbers(`${name} starts`, data.subarray(0, values.length), values, EXACT));
  }
  return comparisons;
}

const INPUT_POSITION = 999;
const INPUT_SPREAD = Math.sqrt(12);

/** Every parameter by the formula; temperatures and positions keep their initial value. */
function formulaWeights(model: Denoiser): TensorSource {
  const parameters = [...model.parameters()];
  const positions = new Map(parameters.map(({ name }, position) => [name, position]));
  return {
    infos: new Map(parameters.map(({ name, shape }) => [name, { dtype: 'f32', shape }])),
    async read(name) {
      const position = positions.get(name)!;
      const { shape, frozen } = parameters[position]!;
      if (frozen || name.endsWith('logit_scale')) {
        return hostTensor('f32', shape, model.initRule(name, shape)(shape, randomKey(0)));
      }
      const spread = shape.length >= 2 ? Math.sqrt(12) / Math.sqrt(sizeOf(shape.slice(1))) : 0.05;
      return formulaTensor(position, spread, shape);
    },
  };
}
