/** @file Forward passes of whole networks, with guidance, values inside the network and single building blocks. */
import * as v from 'valibot';
import type { TensorMap } from '../../src/core/host-tensor.ts';
import { guidedPairs } from '../../src/diffusion/guidance.ts';
import { cast, constant, slice } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { countParameters } from '../../src/networks/nn/module.ts';
import { createModel } from '../../src/networks/registry.ts';
import { buildingBlocks } from './building-blocks.ts';
import { type Comparison, compareExactly, compareTensors } from './comparison.ts';
import { type Fixture, readBeside } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { recordedModuleValues } from './module-values.ts';
import { specOfReference, weightsOf } from './reference-config.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { README_TOLERANCES, StatedTolerance } from './tolerance.ts';

const schema = v.object({
  kind: v.pipe(v.string(), v.regex(/^(U-DiT|DiT|SiT|DiTLLaMA|SiTLLaMA)( |$)/)),
  config: v.looseObject({}),
  weights: v.string(),
  params: v.optional(v.number()),
  trainable: v.optional(v.number()),
  tolerance: v.optional(v.string(), README_TOLERANCES.forward),
});

export const modelForward: FixtureKind = {
  name: 'model forward',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkForward(fixture, parsed.output) : undefined;
  },
};

function checkForward(fixture: Fixture, json: v.InferOutput<typeof schema>): Check {
  return async (backend) => {
    const model = createModel(specOfReference(json.config, fixture.name, json.kind));
    const weights = weightsOf(model, await readBeside(fixture, json.weights), json.weights);
    const computed = buildValues(fixture, model);
    const recorded = [...fixture.tensors].filter(([name]) => !isInput(name));
    const known = recorded.filter(([name]) => computed.has(name));

    const values = await runGraph(Object.fromEntries(computed), fixture.tensors, backend, weights);
    const stated = new StatedTolerance(json.tolerance);
    const comparisons = known.map(([name, expected]) =>
      compareTensors(name, values.get(name), expected, stated.of(name.split('.')[0]!)),
    );
    const notCompared = recorded.filter(([name]) => !computed.has(name)).map(([name]) => name);
    return { comparisons: [...comparisons, ...compareCounts(model, json)], notCompared };
  };
}

function isInput(name: string): boolean {
  return /^(x|t|y|cfg\.[xty]|unpatchify\.in|rope\.[qk]|temb\.t)$/.test(name);
}

/** Everything that the fixture records and we can build, by its recorded name. */
function buildValues(fixture: Fixture, model: Denoiser): Map<string, Tensor> {
  const leaf = inputsFrom(fixture.tensors, fixture.name);
  const out = predict(model, leaf('x'), leaf('t'), leaf('y'));
  return new Map([
    ['out', out],
    ...recordedModuleValues(fixture.tensors, out, model),
    ...guidedOutputs(fixture.tensors, leaf, model),
    ...buildingBlocks(fixture.tensors, leaf, model),
  ]);
}

function predict(model: Denoiser, x: Tensor, t: Tensor, y: Tensor): Unlabelled {
  return model.apply(x as Unlabelled, { t: cast(t, 'f32'), y: y as Unlabelled });
}

/** `cfg.out_1.5` and the like: guidance as `forward_with_cfg` applies it, to pairs of images with and without class. */
function guidedOutputs(
  tensors: TensorMap,
  leaf: (name: string) => Unlabelled,
  model: Denoiser,
): (readonly [string, Tensor])[] {
  return [...tensors.keys()].flatMap((name) => {
    const scale = /^cfg\.out_([\d.]+)$/.exec(name)?.[1];
    if (scale === undefined) return [];
    const [x, t, y] = [leaf('cfg.x'), leaf('cfg.t'), leaf('cfg.y')];
    const denoise = guidedPairs((images, time, labels) => predict(model, images, time, labels), {
      labels: slice(y, 0, 0, y.shape[0]! / 2),
      scale: constant(Number(scale)),
      channels: 3,
      nullLabel: model.config.numClasses,
    });
    return [[name, denoise(x, cast(t, 'f32'))] as const];
  });
}

function compareCounts(
  model: Denoiser,
  { params, trainable }: { params?: number | undefined; trainable?: number | undefined },
): Comparison[] {
  const parameters = [...model.parameters()];
  const comparisons: Comparison[] = [];
  if (params !== undefined) comparisons.push(compareExactly('params', countParameters(parameters), params));
  if (trainable !== undefined) {
    const trained = countParameters(parameters.filter(({ frozen }) => !frozen));
    comparisons.push(compareExactly('trainable', trained, trainable));
  }
  return comparisons;
}
