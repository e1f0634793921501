/** @file Whole sampling loops on a small network, with the recorded noise of every step. */
import * as v from 'valibot';
import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import type { Denoise } from '../../src/diffusion/denoise.ts';
import { gaussianObjective } from '../../src/diffusion/gaussian/objective.ts';
import { guidedPairs } from '../../src/diffusion/guidance.ts';
import { planSampling } from '../../src/diffusion/samplers.ts';
import type { SamplingPlan } from '../../src/diffusion/sampling-plan.ts';
import { compileInference } from '../../src/engine/compile/inference.ts';
import { graphOf } from '../../src/engine/graph/graph.ts';
import { constant, input, slice } from '../../src/engine/graph/operators.ts';
import type { Unlabelled } from '../../src/engine/graph/tensor.ts';
import type { Backend, Session } from '../../src/engine/runtime/session.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { createModel } from '../../src/networks/registry.ts';
import { type Comparison, compareTensors } from './comparison.ts';
import { entryOf, type Fixture, readBeside, requireTensor } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { specOfReference, weightsOf } from './reference-config.ts';
import { README_TOLERANCES, StatedTolerance } from './tolerance.ts';

const schema = v.object({
  config: v.looseObject({}),
  weights: v.string(),
  cfg_scale: v.number(),
  timestep_respacing: v.string(),
  method: v.picklist(['p_sample', 'ddim']),
  clip_denoised: v.boolean(),
  eta: v.optional(v.number(), 0),
  learn_sigma: v.boolean(),
  tolerance: v.optional(v.string(), README_TOLERANCES.loop),
});
type Json = v.InferOutput<typeof schema>;

export const samplingLoop: FixtureKind = {
  name: 'sampling loop',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkLoop(fixture, parsed.output) : undefined;
  },
};

function checkLoop(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const recorded = (name: string): HostTensor => requireTensor(fixture.tensors, name, fixture.name);
    const tolerance = new StatedTolerance(json.tolerance).of();
    const plan = planOf(json);
    const session = await compileStep(fixture, json, plan, backend);
    const comparisons: Comparison[] = [];
    let x = recorded('z');
    for (const [i, step] of plan.steps.entries()) {
      const noise = entryOf(recorded('noises'), i);
      const feeds: TensorMap = new Map([...step, ['x', x], ['noise', noise], ['y', recorded('y')]]);
      const results = await session.run(feeds);
      x = results.get('next')!;
      const compareRow = (quantity: string, value: HostTensor) =>
        compareTensors(`${quantity} ${i}`, value, entryOf(recorded(quantity), i), tolerance);
      comparisons.push(compareRow('samples', x), compareRow('pred_xstart', results.get('x0')!));
    }
    await session.release();
    comparisons.push(compareTensors('final', x, recorded('final'), tolerance));
    return { comparisons };
  };
}

function planOf({ learn_sigma, method, timestep_respacing, clip_denoised, eta }: Json): SamplingPlan {
  const objective = gaussianObjective({ variance: learn_sigma ? 'learned-range' : 'fixed-large' });
  const options = { steps: timestep_respacing, clip: clip_denoised };
  return method === 'ddim'
    ? planSampling(objective, 'ddim', { ...options, eta })
    : planSampling(objective, 'ddpm', options);
}

async function compileStep(
  fixture: Fixture,
  json: Json,
  plan: SamplingPlan,
  backend: Backend,
): Promise<Session> {
  const model = createModel(specOfReference(json.config, fixture.name));
  const weights = weightsOf(model, await readBeside(fixture, json.weights), json.weights);
  const { shape } = requireTensor(fixture.tensors, 'z', fixture.name);
  const y = input('y', [shape[0]!], 'i64');
  const step = plan.build(denoiserOf(model, y, json.cfg_scale), input('x', shape), input('noise', shape));
  return compileInference(graphOf({ next: step.x, x0: step.x0 }), weights, backend);
}

/** With guidance the batch is pairs: the first half with its classes, the second without. */
export function denoiserOf(model: Denoiser, y: Unlabelled, scale: number): Denoise {
  if (scale === 1) return (x, t) => model.apply(x, { t, y });
  return guidedPairs((x, t, labels) => model.apply(x, { t, y: labels }), {
    labels: slice(y, 0, 0, y.shape[0]! / 2),
    scale: constant(scale),
    channels: 3,
    nullLabel: model.config.numClasses,
  });
}
