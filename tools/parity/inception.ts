/** @file The Inception network of FID with formula weights, on pictures that pytorch-fid resized. */
import * as v from 'valibot';
import type { TensorMap } from '../../src/core/host-tensor.ts';
import { add, concat, mean, mul, reshape, slice, transpose } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { INCEPTION_PRESETS, InceptionV3 } from '../../src/networks/features/inception.ts';
import { compareExactly, compareTensors } from './comparison.ts';
import type { Fixture } from './fixture.ts';
import { formulaTensor, spreadOverInputs } from './formula.ts';
import type { Check, FixtureKind } from './kind.ts';
import { TracedModules } from './module-values.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { StatedTolerance } from './tolerance.ts';

const schema = v.object({
  weights_rule: v.pipe(v.string(), v.includes('torchvision Inception3')),
  key_order: v.array(v.string()),
  tolerance: v.string(),
});
type Json = v.InferOutput<typeof schema>;

export const inception: FixtureKind = {
  name: 'Inception features',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkInception(fixture, parsed.output) : undefined;
  },
};

function checkInception(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const network = new InceptionV3({ ...INCEPTION_PRESETS['FID-Inception']!, preprocessing: 'pytorch' });
    const weights = inceptionWeights(json.key_order);
    const x = inputsFrom(fixture.tensors, fixture.name)('x');
    const computed = recordedValues(network, add(mul(x, 2), -1), fixture.tensors);
    const values = await runGraph(computed, fixture.tensors, backend, weights);
    const tolerance = new StatedTolerance(json.tolerance).of();
    const names = [...network.parameters()].map(({ name, shape }) => `${name}:[${shape.join(', ')}]`);
    return {
      comparisons: [
        compareExactly('keys', names, json.key_order),
        ...Object.keys(computed).map((name) =>
          compareTensors(name, values.get(name), fixture.tensors.get(name)!, tolerance),
        ),
      ],
      notCompared: ['logits_1008: the score is taken of logits without bias'],
    };
  };
}

/** @param keys - `name:[shape]` of each tensor in the order of the state dict */
export function inceptionWeights(keys: readonly string[]): TensorMap {
  return new Map(
    keys.map((key, position) => {
      const [, name, list] = /^(.+):\[(.+)\]$/.exec(key)!;
      const shape = list!.split(', ').map(Number);
      if (shape.length > 1) return [name!, formulaTensor(position, spreadOverInputs(shape, 24), shape)];
      return [
        name!,
        /bn\.weight|running_var/.test(name!)
          ? formulaTensor(position, 0.5, shape, 1)
          : formulaTensor(position, 0.2, shape),
      ];
    }),
  );
}

/** Rows of the resized picture that the fixture keeps. */
const ROWS = [0, 1, 149, 297, 298];

/** @param x - pictures in [−1, 1]; the fixture records them resized in [0, 1] */
function recordedValues(
  network: InceptionV3,
  x: Unlabelled,
  recorded: TensorMap,
): Readonly<Record<string, Tensor>> {
  const resized = network.resize.apply(x);
  const { pool, spatial, logits } = network.featuresOf(resized);
  const modules = new TracedModules(pool);
  const blocks = {
    block0_64: modules.inputOf('Conv2d_3b_1x1')!,
    block1_192: modules.inputOf('Mixed_5b')!,
    block2_768: modules.outputOf('Mixed_6e')!,
  };
  const corner = (map: Tensor, channels: number) =>
    transpose(slice(slice(slice(map, 1, 0, 6), 2, 0, 6), 3, 0, channels), [0, 3, 1, 2]);
  return {
    'resized.rows': concat(
      ROWS.map((row) => mul(add(slice(resized, 2, row, row + 1), 1), 0.5)),
      2,
    ),
    ...Object.fromEntries(
      Object.entries(blocks).flatMap(([name, map]) => [
        [`${name}.mean`, mean(map, [1, 2])],
        [`${name}.corner`, corner(map, recorded.get(`${name}.corner`)!.shape[1]!)],
      ]),
    ),
    block3_2048: pool,
    logits_1008_nobias: logits,
    'mixed_6d.branch1x1.first7': transpose(reshape(spatial, [x.shape[0]!, 17, 17, 7]), [0, 3, 1, 2]),
  };
}
