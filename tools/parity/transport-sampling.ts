/** @file SiT's samplers on a formula or a small network, with the recorded noise of every step. */
import * as v from 'valibot';
import {
  type HostTensor,
  hostTensor,
  scalar,
  type TensorMap,
  tensorOf,
  toNumbers,
} from '../../src/core/host-tensor.ts';
import type { Denoise } from '../../src/diffusion/denoise.ts';
import { flowObjective } from '../../src/diffusion/flow/objective.ts';
import type { LastStep } from '../../src/diffusion/flow/sde.ts';
import { planAnySampling, planSampling, type SamplerName } from '../../src/diffusion/samplers.ts';
import type { AdaptivePlan, SamplingOptions } from '../../src/diffusion/sampling-plan.ts';
import { type Slope, solveAdaptively, solveInSteps } from '../../src/diffusion/solvers/ode-solver.ts';
import { FIXED_METHODS } from '../../src/diffusion/solvers/runge-kutta.ts';
import { compileInference } from '../../src/engine/compile/inference.ts';
import { type Graph, graphOf } from '../../src/engine/graph/graph.ts';
import { add, cos, input, mul, reshape, sin, sub } from '../../src/engine/graph/operators.ts';
import { evaluate } from '../../src/engine/interp/evaluate.ts';
import type { Session } from '../../src/engine/runtime/session.ts';
import { createModel } from '../../src/networks/registry.ts';
import { type Comparison, compareExactly, compareNumbers, isWithin } from './comparison.ts';
import { entryOf, type Fixture, readBeside, requireTensor } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { specOfReference, weightsOf } from './reference-config.ts';
import { denoiserOf } from './sampling-loop.ts';
import { StatedTolerance, type Tolerance } from './tolerance.ts';
import {
  formOfReference,
  methodOf,
  pathSchema,
  predictionSchema,
  transportOptions,
} from './transport-reference.ts';

const caseSchema = v.object({
  path: pathSchema,
  prediction: predictionSchema,
  sampling_method: v.string(),
  num_steps: v.number(),
  reverse: v.optional(v.boolean(), false),
  atol: v.optional(v.number()),
  rtol: v.optional(v.number()),
  nfe: v.optional(v.number()),
  diffusion_form: v.optional(v.string()),
  diffusion_norm: v.optional(v.number()),
  last_step: v.optional(v.nullable(v.string())),
  last_step_size: v.optional(v.number()),
  cfg_scale: v.optional(v.number(), 1),
  official_error: v.optional(v.string()),
  official_result: v.optional(v.string()),
});
const schema = v.object({
  cases: v.record(v.pipe(v.string(), v.regex(/^(ode|sde)\./)), caseSchema),
  /** Of a network; without one the prediction is a formula, which the fixture's text states. */
  config: v.optional(v.looseObject({})),
  weights: v.optional(v.string()),
  tolerance: v.string(),
});
type Json = v.InferOutput<typeof schema>;
type Case = v.InferOutput<typeof caseSchema>;

export const transportSampling: FixtureKind = {
  name: 'transport sampling',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkSampling(fixture, parsed.output) : undefined;
  },
};

function checkSampling(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const stated = new StatedTolerance(json.tolerance);
    const network = await networkOf(fixture, json);
    const comparisons: Comparison[] = [];
    const notCompared: string[] = [];
    for (const [name, one] of Object.entries(json.cases)) {
      const failure = one.official_error ?? one.official_result;
      if (failure !== undefined) {
        notCompared.push(`${name}: the reference gives no result (${failure})`);
        continue;
      }
      const recorded = requireTensorOf(fixture, `${name}.samples`, `${name}.final`);
      const start = requireTensor(fixture.tensors, 'z', fixture.name) as HostTensor<'f32'>;
      const drawing: Drawing = { ...one, name, fixture, network, start };
      const drawn = await draw(drawing, (graph) => compileInference(graph, network.weights, backend));
      const tolerance =
        json.config === undefined
          ? stated.of(one.sampling_method === 'dopri5' ? 'dopri5' : 'fixed step')
          : stated.of();
      const valuesOf = ({ states }: Drawn): number[] =>
        (recorded.name.endsWith('.final') ? states.slice(-1) : states).flatMap((state) => Array.from(state));
      const values = valuesOf(drawn);
      const compare = (numbers: readonly number[], within: Tolerance) =>
        compareNumbers(recorded.name, numbers, toNumbers(recorded.tensor), within);
      const comparison = compare(values, tolerance);
      if (isWithin(comparison) || network.weights.size > 0) comparisons.push(comparison);
      else {
        // Near the ends of paths float64 is further away too: what was recorded is rounded so much, and so may ours be.
        const exact = compare(valuesOf(await draw(drawing, inFloat64)), tolerance);
        const allowed = isWithin(exact) ? tolerance : { absolute: 2 * exact.maxAbs };
        comparisons.push(compare(values, allowed));
      }
      if (one.nfe !== undefined) comparisons.push(compareExactly(`${name}.nfe`, drawn.nfe, one.nfe));
    }
    return { comparisons, notCompared };
  };
}

function requireTensorOf({ tensors, name }: Fixture, ...names: readonly string[]) {
  const found = names.find((candidate) => tensors.has(candidate)) ?? names[0]!;
  return { name: found, tensor: requireTensor(tensors, found, name) };
}

/** What predicts: toy(x, t) = 0.3 x − 0.2 cos 3t + 0.1 sin 2x, or a model. */
export interface Network {
  denoise(scale: number): Denoise;
  readonly weights: TensorMap;
  /** What it is fed beside images and time. */
  readonly feeds: TensorMap;
}

export async function networkOf(
  fixture: Fixture,
  { config, weights }: Partial<Pick<Json, 'config' | 'weights'>>,
): Promise<Network> {
  if (config === undefined || weights === undefined) {
    const toy: Denoise = (x, t) => {
      const shift = mul(cos(mul(reshape(t, [t.shape[0]!, 1, 1, 1]), 3)), 0.2);
      return add(sub(mul(x, 0.3), shift), mul(sin(mul(x, 2)), 0.1));
    };
    return { denoise: () => toy, weights: new Map(), feeds: new Map() };
  }
  const model = createModel(specOfReference(config, fixture.name, 'SiT'));
  const labels = requireTensor(fixture.tensors, 'y', fixture.name);
  const y = input('y', labels.shape, 'i64');
  return {
    denoise: (scale) => denoiserOf(model, y, scale),
    weights: weightsOf(model, await readBeside(fixture, weights), weights),
    feeds: new Map([['y', labels]]),
  };
}

/** What runs a graph. */
type Compile = (graph: Graph) => Promise<Pick<Session, 'run' | 'release'>>;

const inFloat64: Compile = async (graph) => ({
  run: async (feeds) => {
    const values = [...evaluate(graph, feeds)];
    return new Map(values.map(([name, { shape, data }]) => [name, tensorOf('f64', shape, data)]));
  },
  release: async () => {},
});

interface Drawn {
  readonly states: readonly ArrayLike<number>[];
  readonly nfe: number;
}

interface Drawing extends Case {
  readonly name: string;
  readonly fixture: Fixture;
  readonly network: Network;
  readonly start: HostTensor<'f32'>;
}

/** Our steps are its points less one, and with a last step of its own its points. */
async function drawSde(drawing: Drawing, compile: Compile): Promise<Drawn> {
  const { name, fixture, num_steps, last_step } = drawing;
  const noises = requireTensor(fixture.tensors, `${name}.noises`, fixture.name);
  const drawn = await drawInSteps(
    drawing,
    compile,
    `sde-${drawing.sampling_method.toLowerCase()}` as SamplerName,
    {
      steps: last_step === null ? num_steps - 1 : num_steps,
      diffusionForm: formOfReference(drawing.diffusion_form!),
      diffusionNorm: drawing.diffusion_norm ?? 1,
      lastStep: (last_step ?? (last_step === null ? 'none' : 'mean')).toLowerCase() as LastStep,
      lastStepSize: drawing.last_step_size ?? 0.04,
      // The last step takes no noise, and none is recorded for it.
    },
    (step) => entryOf(noises, Math.min(step, num_steps - 2)) as HostTensor<'f32'>,
  );
  const [, ...states] = drawn.states;
  // Without a last step the reference lists the end twice.
  return { ...drawn, states: last_step === null ? [...states, states.at(-1)!] : states };
}

async function drawInSteps(
  { path, prediction, network, start, cfg_scale }: Drawing,
  compile: Compile,
  sampler: SamplerName,
  options: SamplingOptions,
  noiseOf?: (step: number) => HostTensor<'f32'>,
): Promise<Drawn> {
  const plan = planSampling(flowObjective(transportOptions(path, prediction)), sampler, options);
  const step = plan.build(network.denoise(cfg_scale), input('x', start.shape), input('noise', start.shape));
  const session = await compile(graphOf({ next: step.x }));
  const states: HostTensor[] = [start];
  for (const [i, feeds] of plan.steps.entries()) {
    const further = noiseOf === undefined ? [] : [['noise', noiseOf(i)] as const];
    const results = await session.run(
      new Map<string, HostTensor>([...feeds, ...network.feeds, ...further, ['x', states[i]!]]),
    );
    states.push(results.get('next')!);
  }
  await session.release();
  return { states: states.map(toNumbers), nfe: plan.nfe };
}

/** With the solvers that are given the times: the steps are chosen on the way, or time runs backwards. */
async function solve(drawing: Drawing, compile: Compile): Promise<Drawn> {
  const { path, prediction, network, start, cfg_scale, sampling_method, num_steps } = drawing;
  const { atol = 1e-6, rtol = 1e-3 } = drawing;
  const objective = flowObjective(transportOptions(path, prediction));
  const plan = planAnySampling(objective, 'dopri5', { atol, rtol }) as AdaptivePlan;
  const { slope } = plan.build(network.denoise(cfg_scale), input('x', start.shape));
  const session = await compile(graphOf({ slope }));
  let nfe = 0;
  const slopeAt: Slope = async ([values], time) => {
    nfe++;
    const x = hostTensor('f32', start.shape, values!);
    const feeds = new Map<string, HostTensor>([...network.feeds, ['x', x], ['time', scalar('f32', time)]]);
    return [(await session.run(feeds)).get('slope')!.data as Float32Array];
  };
  const [from, to] = drawing.reverse ? plan.interval.map((t) => 1 - t) : plan.interval;
  const times = Array.from({ length: num_steps }, (_, i) => from! + ((to! - from!) * i) / (num_steps - 1));
  const states =
    sampling_method === 'dopri5'
      ? await solveAdaptively(slopeAt, [start.data], times, plan.tolerances)
      : await solveInSteps(FIXED_METHODS[methodOf(sampling_method)], slopeAt, [start.data], times);
  await session.release();
  return { states: states.map(([values]) => values!), nfe };
}

function draw(drawing: Drawing, compile: Compile): Promise<Drawn> {
  const { name, sampling_method, reverse, num_steps } = drawing;
  if (name.startsWith('sde.')) return drawSde(drawing, compile);
  if (sampling_method === 'dopri5' || reverse) return solve(drawing, compile);
  return drawInSteps(drawing, compile, methodOf(sampling_method), { steps: num_steps - 1 });
}
