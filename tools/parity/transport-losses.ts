/** @file SiT's losses, paths, conversions, diffusion forms and intervals, with a recorded output in place of the network. */
import * as v from 'valibot';
import { toNumbers } from '../../src/core/host-tensor.ts';
import {
  type FlowOptions,
  flowLoss,
  type Interval,
  samplingInterval,
  trainingInterval,
} from '../../src/diffusion/flow/flow.ts';
import { FLOW_PATHS, interpolate, noisingRate, pathAt, pathVelocity } from '../../src/diffusion/flow/path.ts';
import {
  type FlowPrediction,
  predictNoise,
  predictScore,
  predictVelocity,
} from '../../src/diffusion/flow/prediction.ts';
import { DIFFUSION_FORMS } from '../../src/diffusion/flow/sde.ts';
import { add, mul, neg, reshape } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { type Comparison, compareNumbers, compareTensors } from './comparison.ts';
import { type Fixture, requireTensor } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { StatedTolerance, type Tolerance } from './tolerance.ts';
import { formOfReference, PATHS, type ReferencePath, transportOptions } from './transport-reference.ts';

const eps = v.object({ train_eps: v.number(), sample_eps: v.number() });
const interval = v.tuple([v.number(), v.number()]);
const schema = v.object({
  cases: v.record(
    v.pipe(v.string(), v.regex(/^\w+\.\w+\.\w+$/)),
    v.object({ ...eps.entries, t0: v.number(), t1: v.number() }),
  ),
  intervals: v.record(v.string(), v.union([interval, eps])),
  tolerance: v.string(),
});
type Json = v.InferOutput<typeof schema>;
type Leaf = (name: string) => Unlabelled;

export const transportLosses: FixtureKind = {
  name: 'transport losses and conversions',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkLosses(fixture, parsed.output) : undefined;
  },
};

function checkLosses(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const { tensors } = fixture;
    const stated = new StatedTolerance(json.tolerance);
    const leaf = inputsFrom(tensors, fixture.name);
    const paths = (Object.keys(PATHS) as ReferencePath[]).filter((path) => tensors.has(`${path}.t`));
    const quantities = {
      ...Object.assign({}, ...Object.keys(json.cases).map((name) => lossOf(name, leaf))),
      ...Object.assign({}, ...paths.map((path) => quantitiesOf(path, leaf))),
    } as Readonly<Record<string, Tensor>>;
    const values = await runGraph(quantities, tensors, backend);
    const comparisons = [...values].map(([name, value]) =>
      compareTensors(name, value, requireTensor(tensors, name, fixture.name), toleranceOf(name, stated)),
    );
    comparisons.push(...compareForms(fixture, stated));
    const { compared, notCompared } = compareIntervals(json);
    return { comparisons: [...comparisons, ...compared], notCompared: [...notCompared] };
  };
}

/** The last recorded time is near the data, where VP's σ loses digits in float32. */
function toleranceOf(name: string, stated: StatedTolerance): Tolerance {
  const isNearData = /^VP\.(noise|score)/.test(name);
  return isNearData ? stated.of('VP score/noise') : stated.of();
}

function lossOf(name: string, leaf: Leaf): Record<string, Unlabelled> {
  const [path, prediction, lossWeight] = name.split('.') as [
    ReferencePath,
    FlowOptions['prediction'],
    FlowOptions['lossWeight'],
  ];
  const options = transportOptions(path, prediction, { lossWeight });
  const [from, to] = trainingInterval(options);
  const t = add(mul(leaf('u'), to - from), from);
  const { perSample } = flowLoss(options, () => leaf('net_out'), leaf('x1'), leaf('x0'), t);
  return { [`${name}.loss`]: perSample };
}

function quantitiesOf(name: ReferencePath, leaf: Leaf): Record<string, Tensor> {
  const path = FLOW_PATHS[PATHS[name]];
  const t = leaf(`${name}.t`);
  const perImage = reshape(t, [t.shape[0]!, 1, 1, 1]);
  const [data, noise, output] = [leaf('x1'), leaf('x0'), leaf('net_out')];
  const point = pathAt(path, perImage);
  const x = interpolate(path, data, noise, perImage);
  const as = (prediction: FlowPrediction['name']): FlowPrediction => ({ name: prediction, output, x, point });
  const { alpha, sigma, alphaRate, sigmaRate } = pathAt(path, t);
  const perSample = (value: Tensor | number): Tensor => add(mul(t, 0), value);
  const values: Record<string, Tensor> = {
    alpha: perSample(alpha),
    sigma: perSample(sigma),
    d_alpha: perSample(alphaRate),
    d_sigma: perSample(sigmaRate),
    xt: x,
    ut: pathVelocity(path, data, noise, perImage),
    drift_mean: neg(mul(point.logAlphaRate, x)),
    drift_var: perSample(noisingRate(pathAt(path, t))),
    noise_from_velocity: predictNoise(as('velocity')),
    score_from_velocity: predictScore(as('velocity')),
    velocity_from_score: predictVelocity(as('score')),
  };
  for (const prediction of ['velocity', 'noise', 'score'] as const) {
    values[`${prediction}.ode_drift`] = predictVelocity(as(prediction));
    values[`${prediction}.score`] = predictScore(as(prediction));
  }
  return Object.fromEntries(
    Object.entries(values).map(([quantity, value]) => [`${name}.${quantity}`, value]),
  );
}

function compareForms({ tensors }: Fixture, stated: StatedTolerance): Comparison[] {
  return [...tensors].flatMap(([name, recorded]) => {
    const [path, quantity, form, ...norm] = name.split('.') as [ReferencePath, ...string[]];
    if (quantity !== 'diffusion') return [];
    const times = Array.from(toNumbers(tensors.get(`${path}.t`)!));
    const at = DIFFUSION_FORMS[formOfReference(form!)];
    const values = times.map((t) =>
      at(Number(norm.join('.').slice('norm'.length)), FLOW_PATHS[PATHS[path]], t),
    );
    return [compareNumbers(name, values, toNumbers(recorded), stated.of())];
  });
}

/** Intervals that differ on purpose are told apart by why. */
function compareIntervals({ intervals, cases }: Json) {
  const compared: Comparison[] = [];
  const notCompared: string[] = [];
  const compare = (name: string, actual: Interval, expected: readonly number[]): void => {
    compared.push(compareNumbers(name, actual, expected, { absolute: 1e-12 }));
  };
  for (const [name, { t0, t1 }] of Object.entries(cases)) {
    const [path, prediction] = name.split('.') as [ReferencePath, FlowOptions['prediction']];
    compare(`${name} interval`, trainingInterval(transportOptions(path, prediction)), [t0, t1]);
  }
  for (const [name, recorded] of Object.entries(intervals)) {
    const [path, prediction, ...rest] = name.split('.') as [ReferencePath, FlowOptions['prediction'], string];
    if (!Array.isArray(recorded)) {
      const given = { trainEps: 0.01, sampleEps: 0.02 };
      const ignores = rest[0] !== 'eps_given' || (prediction === 'velocity' && path !== 'VP');
      if (ignores) notCompared.push(`${name}: the reference ignores what is given, which is kept here`);
      else {
        const { trainEps, sampleEps } = transportOptions(path, prediction, given);
        const expected = recorded as v.InferOutput<typeof eps>;
        compare(name, [trainEps!, sampleEps!], [expected.train_eps, expected.sample_eps]);
      }
      continue;
    }
    const [isSde, isReversed, isSbdm] = ['sde1', 'rev1', 'SBDM'].map((word) => rest.includes(word));
    const lastStepSize = Number(rest.join('.').split('last')[1]);
    const [from, end] = samplingInterval(transportOptions(path, prediction));
    if (isSde && isSbdm && prediction === 'velocity' && path !== 'VP') {
      notCompared.push(`${name}: the form is infinite at 0, where the reference begins; 0.001 here`);
      continue;
    }
    const forward: Interval = [from, isSde && lastStepSize > 0 ? 1 - lastStepSize : end];
    compare(name, isReversed ? [1 - forward[0], 1 - forward[1]] : forward, recorded as number[]);
  }
  return { compared, notCompared };
}
