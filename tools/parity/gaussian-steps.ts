/** @file Single steps, moments and losses of Gaussian diffusion, with a recorded output in place of the network. */
import * as v from 'valibot';
import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import { toNumbers } from '../../src/core/host-tensor.ts';
import {
  addNoise,
  forwardMoments,
  type GaussianDiffusion,
  gaussianDiffusion,
  networkTimes,
  type Prediction,
  posteriorMoments,
  reverseMoments,
  splitPrediction,
} from '../../src/diffusion/gaussian/gaussian.ts';
import { boundTermBits, gaussianLoss, priorBits } from '../../src/diffusion/gaussian/loss.ts';
import {
  ddimCoefficients,
  ddimReverseCoefficients,
  ddimStep,
  ddpmStep,
} from '../../src/diffusion/gaussian/steps.ts';
import {
  approximateNormalCdf,
  discretizedLogLikelihood,
  gaussianKl,
} from '../../src/diffusion/likelihood.ts';
import { broadcastTo, mean, reverse } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { gradients } from '../../src/engine/graph/vjp.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { type Comparison, compareNumbers, compareTensors } from './comparison.ts';
import type { Fixture } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { gaussianOptionsOfReference } from './reference-config.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { README_TOLERANCES, StatedTolerance, type Tolerance } from './tolerance.ts';

const schema = v.object({
  cases: v.record(v.string(), v.object({ create_diffusion: v.looseObject({}) })),
  float64_vs_float32_gradient_rel_l2_per_row: v.optional(v.record(v.string(), v.array(v.number())), {}),
  tolerance: v.optional(v.string(), README_TOLERANCES.steps),
});
type Json = v.InferOutput<typeof schema>;
type Leaf = (name: string) => Unlabelled;

export const gaussianSteps: FixtureKind = {
  name: 'diffusion steps and losses',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkSteps(fixture, parsed.output) : undefined;
  },
};

function checkSteps(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const { tensors } = fixture;
    const stated = new StatedTolerance(json.tolerance);
    const comparisons: Comparison[] = [];
    for (const [name, { create_diffusion }] of Object.entries(json.cases)) {
      const diffusion = gaussianDiffusion(gaussianOptionsOfReference(create_diffusion, fixture.name));
      const quantities = buildCase(name, diffusion, tensors, inputsFrom(tensors, fixture.name));
      const values = await runGraph(quantities, tensors, backend);
      for (const [quantity, value] of values) {
        const tolerance = toleranceOf(quantity.slice(name.length + 1), stated, backend);
        comparisons.push(compareTensors(quantity, value, tensors.get(quantity)!, tolerance));
      }
    }
    comparisons.push(...(await compareLikelihoods(fixture, backend)));
    comparisons.push(...(await compareGradients(fixture, json, backend)));
    return { comparisons, notCompared: unknownTensors(tensors, json, comparisons) };
  };
}

/**
 * The tolerance stated for a quantity. Where an image is unlikely, the bound at t = 0 is the logarithm of a difference of
 * probabilities near 1: its last digits are those of the library's tanh, and WebAssembly's is not PyTorch's.
 */
function toleranceOf(quantity: string, stated: StatedTolerance, { name }: Backend): Tolerance {
  if (/^(vb|vb_bpd|vb_bpd_clip|loss|prior_bpd)$/.test(quantity)) {
    const tolerance = stated.of('vb');
    return name === 'wasm' ? { ...tolerance, relative: 1e-2 } : tolerance;
  }
  const [ddim] = /^ddim(_reverse)?/.exec(quantity) ?? [];
  return ddim === undefined ? stated.of() : stated.of(ddim);
}

/** Every quantity of one case that is recorded, by its full name. */
function buildCase(
  name: string,
  diffusion: GaussianDiffusion,
  tensors: TensorMap,
  leaf: Leaf,
): Record<string, Tensor> {
  const [x0, noise] = [leaf('x_start'), leaf('noise')];
  const t = leaf(tensors.has(`${name}.t`) ? `${name}.t` : 't');
  const output = leaf(diffusion.options.variance === 'learned-range' ? 'net_out8' : 'net_out4');
  const c = diffusion.coefficients.at(t);
  const xt = addNoise(c, x0, noise);
  const prediction = splitPrediction(diffusion, output, xt);
  const forward = forwardMoments(c, x0);
  const posterior = posteriorMoments(c, x0, xt);
  const { perSample, terms } = gaussianLoss(diffusion, () => output, x0, noise, t);
  const quantities: Record<string, Tensor> = {
    ...terms,
    loss: perSample,
    net_timesteps: networkTimes(diffusion, t),
    x_t: xt,
    q_mean: forward.mean,
    q_var: forward.variance,
    q_logvar: forward.logVariance,
    post_mean: posterior.mean,
    post_var: posterior.variance,
    post_logvar: posterior.logVariance,
    prior_bpd: priorBits(diffusion, x0),
    vb_bpd: boundTermBits(diffusion, c, prediction, x0, xt, { clip: false }).bits,
    vb_bpd_clip: boundTermBits(diffusion, c, prediction, x0, xt, { clip: true }).bits,
    ...buildReverse(diffusion, t, prediction, xt),
    ...buildSamples(name, diffusion, t, prediction, xt, tensors, leaf),
  };
  const full = Object.entries(quantities).map(([quantity, value]) => [`${name}.${quantity}`, value] as const);
  return Object.fromEntries(full.filter(([quantity]) => tensors.has(quantity)));
}

function buildReverse(
  diffusion: GaussianDiffusion,
  t: Unlabelled,
  prediction: Prediction,
  xt: Unlabelled,
): Record<string, Tensor> {
  const quantities: Record<string, Tensor> = {};
  for (const clip of [0, 1]) {
    const options = { clip: clip === 1 };
    const moments = reverseMoments(diffusion, diffusion.coefficients.at(t), prediction, xt, options);
    quantities[`pmv_clip${clip}.mean`] = moments.mean;
    quantities[`pmv_clip${clip}.variance`] = broadcastTo(moments.variance, xt.shape);
    quantities[`pmv_clip${clip}.log_variance`] = broadcastTo(moments.logVariance, xt.shape);
    quantities[`pmv_clip${clip}.pred_xstart`] = moments.x0;
  }
  return quantities;
}

/** Draws with the recorded noise: `p_sample_clip<0|1>`, `ddim_eta<eta>` and `ddim_reverse`. */
function buildSamples(
  name: string,
  diffusion: GaussianDiffusion,
  t: Unlabelled,
  prediction: Prediction,
  xt: Unlabelled,
  tensors: TensorMap,
  leaf: Leaf,
): Record<string, Tensor> {
  const samples: Record<string, Tensor> = {};
  for (const full of tensors.keys()) {
    if (!full.startsWith(`${name}.`) || !full.endsWith('.noise')) continue;
    const draw = full.slice(name.length + 1, -'.noise'.length);
    const clip = /^p_sample_clip([01])$/.exec(draw)?.[1];
    const eta = /^ddim_eta([\d.]+)$/.exec(draw)?.[1];
    if (clip !== undefined) {
      const c = diffusion.coefficients.at(t);
      const step = ddpmStep(diffusion, c, prediction, xt, leaf(full), { clip: clip === '1' });
      samples[`${draw}.sample`] = step.x;
    } else if (eta !== undefined) {
      const c = ddimCoefficients(diffusion.tables, Number(eta)).at(t);
      samples[`${draw}.sample`] = ddimStep(diffusion, c, prediction, xt, leaf(full), { clip: false }).x;
    }
  }
  const c = ddimReverseCoefficients(diffusion.tables).at(t);
  samples['ddim_reverse.sample'] = ddimStep(diffusion, c, prediction, xt, undefined, { clip: false }).x;
  return samples;
}

/** Probabilities are float32 differences of numbers near 1: their logarithms are compared above e⁻⁶ only. */
const PROBABILITY_TOLERANCE: Tolerance = { absolute: 2e-7 };
const LIKELY_LOG = -6;
const LIKELY_TOLERANCE: Tolerance = { relative: 1e-4, absolute: 1e-5 };

/** `dgll`, `cdf` and `kl`: likelihood terms on their own. */
async function compareLikelihoods({ tensors, name }: Fixture, backend: Backend): Promise<Comparison[]> {
  if (!tensors.has('dgll.out')) return [];
  const leaf = inputsFrom(tensors, name);
  const [means, logScales] = [leaf('dgll.means'), leaf('dgll.log_scales')];
  const flipped = { mean: reverse(means, [0]), logVariance: reverse(logScales, [0]) };
  const values = await runGraph(
    {
      'dgll.out': discretizedLogLikelihood(leaf('dgll.x'), means, logScales),
      'cdf.out': approximateNormalCdf(leaf('cdf.x')),
      'kl.out': gaussianKl({ mean: means, logVariance: logScales }, flipped),
    },
    tensors,
    backend,
  );
  const pairs = new Map([...values].map(([quantity, value]) => [quantity, [value, tensors.get(quantity)!]]));
  const [actual, expected] = pairs.get('dgll.out')!.map(toNumbers) as [ArrayLike<number>, ArrayLike<number>];
  const likely = Array.from(expected, (_, i) => i).filter((i) => expected[i]! > LIKELY_LOG);
  const atLikely = (logs: ArrayLike<number>): number[] => likely.map((i) => logs[i]!);
  const exponentials = (logs: ArrayLike<number>): number[] => Array.from(logs, Math.exp);
  const relative: Tolerance = { relative: 1e-5, absolute: 1e-5 };
  return [
    compareNumbers('exp(dgll.out)', exponentials(actual), exponentials(expected), PROBABILITY_TOLERANCE),
    compareNumbers('dgll.out', atLikely(actual), atLikely(expected), LIKELY_TOLERANCE),
    ...['cdf.out', 'kl.out'].map((quantity) => {
      const [value, recorded] = pairs.get(quantity) as [HostTensor, HostTensor];
      return compareTensors(quantity, value, recorded, relative);
    }),
  ];
}

/** Gradients of the reference's default loss and its bound, row by row: some rows of the bound are rounding noise. */
async function compareGradients(
  { tensors, name }: Fixture,
  { float64_vs_float32_gradient_rel_l2_per_row: roundingByRow }: Json,
  backend: Backend,
): Promise<Comparison[]> {
  const targets = (['loss', 'vb'] as const).filter((term) => tensors.has(gradientName(term)));
  if (targets.length === 0) return [];
  const leaf = inputsFrom(tensors, name);
  const output = leaf('net_out8');
  const { perSample, terms } = gaussianLoss(
    gaussianDiffusion(),
    () => output,
    leaf('x_start'),
    leaf('noise'),
    leaf('t'),
  );
  const of = { loss: perSample, vb: terms.vb! };
  const graph = targets.map((term) => [gradientName(term), gradients(mean(of[term]), [output])[0]!]);
  const values = await runGraph(Object.fromEntries(graph), tensors, backend);
  return targets.flatMap((term) => {
    const quantity = gradientName(term);
    const [actual, expected] = [values.get(quantity)!, tensors.get(quantity)!];
    const rowSize = expected.data.length / expected.shape[0]!;
    return Array.from({ length: expected.shape[0]! }, (_, row) => {
      const part = ({ data }: HostTensor) =>
        (data as Float32Array).subarray(row * rowSize, (row + 1) * rowSize);
      const relL2 = Math.max(1e-4, 5 * (roundingByRow[term]?.[row] ?? 0));
      return compareNumbers(`${quantity} row ${row}`, part(actual), part(expected), { relL2 });
    });
  });
}

function gradientName(term: 'loss' | 'vb'): string {
  return `grad_${term}_mean_wrt_net_out8`;
}

function unknownTensors(tensors: TensorMap, { cases }: Json, comparisons: readonly Comparison[]): string[] {
  const compared = new Set(comparisons.map(({ quantity }) => quantity.replace(/ row \d+$/, '')));
  const isInput = (name: string): boolean =>
    /^(x_start|noise|t|net_out[48]|(dgll|cdf)\.(x|means|log_scales))$|\.(noise|t)$/.test(name);
  const isKnownCase = (name: string): boolean => !name.includes('.') || name.split('.')[0]! in cases;
  return [...tensors.keys()].filter((name) => !compared.has(name) && !isInput(name) && isKnownCase(name));
}
