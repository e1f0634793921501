/** @file Does an exported file compute what the model here computes? Both are run on the same inputs. */

import { Difference } from '../../core/difference.ts';
import { NumericsError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, scalar, tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { fold, type RandomKey, randomIntegers, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import type { Graph } from '../../engine/graph/graph.ts';
import type { Backend, Session } from '../../engine/runtime/session.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import { guidedSteps } from '../sampling/guidance-interval.ts';
import { imageKey, imageNoise } from '../sampling/image-noise.ts';
import { createSampler } from '../sampling/sample.ts';
import { buildStepGraph } from '../sampling/step-graph.ts';
import { denoiserGraph, STEP_INPUT } from './export-graph.ts';
import type { Drawing, ExportedModel, ExportedPart, OnnxExport } from './onnx-export.ts';

// N batch · C H W image or latent · S steps

export interface CheckOptions {
  /** Runs the model as it is used here. */
  readonly backend: Backend;
  readonly threads?: number | undefined;
  /** Where compiled models are kept; by default nowhere. */
  readonly cache?: CompileCache | undefined;
  readonly signal?: AbortSignal | undefined;
  /** @param done - share of the work, from 0 to 1 */
  readonly onProgress?: ((done: number, note: string) => void) | undefined;
}

export interface Agreement {
  /** Images per run that were tried. */
  readonly batchSizes: readonly number[];
  /** The largest difference of any value. */
  readonly maxAbs: number;
  /** ‖exported − live‖ / ‖live‖ over all values. */
  readonly relativeL2: number;
  /** The largest relative L2 that passes. */
  readonly tolerance: number;
}

/**
 * One run rounds; a sampler feeds what was rounded to the network again and again. In int8 a difference of the last bit
 * can make a step of the quantisation.
 */
const TOLERANCE: Readonly<Record<Precision, Readonly<Record<ExportedPart, number>>>> = {
  f32: { denoiser: 2e-5, 'guided-step': 2e-5, sampler: 1e-3 },
  int8: { denoiser: 5e-3, 'guided-step': 5e-3, sampler: 5e-2 },
};

/** A file for any batch size is run with these. */
const TRIED_BATCH_SIZES = [1, 3];
const SEED = 0;

/**
 * Runs a loaded export and the model it was made of on random inputs.
 *
 * @throws NumericsError if they differ by more than rounding
 */
export async function checkExport(
  saved: ExportedModel,
  exported: OnnxExport,
  session: Session,
  options: CheckOptions,
): Promise<Agreement> {
  const { what, drawing, batchSize, precision } = exported;
  const batchSizes = batchSize === undefined ? TRIED_BATCH_SIZES : [batchSize];
  const difference = new Difference();
  for (const [i, count] of batchSizes.entries()) {
    options.signal?.throwIfAborted();
    const inputs = drawInputs(saved, count);
    const onProgress = (done: number) =>
      options.onProgress?.((i + done) / batchSizes.length, `batch of ${count}`);
    const check: BatchCheck = {
      ...{ saved, precision, session, inputs, difference },
      options: { ...options, onProgress },
    };
    if (drawing === undefined) await checkDenoiser(check);
    else if (what === 'sampler') await checkSampler(check, drawing);
    else await checkStep(check, drawing);
    onProgress(1);
  }
  const tolerance = TOLERANCE[precision][what];
  const agreement = { batchSizes, maxAbs: difference.maxAbs, relativeL2: difference.relativeL2, tolerance };
  if (!(agreement.relativeL2 <= tolerance)) throw disagreement(agreement);
  return agreement;
}

interface BatchCheck {
  readonly saved: ExportedModel;
  readonly precision: Precision;
  readonly session: Session;
  readonly inputs: BatchInputs;
  readonly difference: Difference;
  readonly options: CheckOptions;
}

interface BatchInputs {
  /** Classes without the null label, [N]. */
  readonly labels: HostTensor<'i64'>;
  readonly keys: readonly RandomKey[];
  readonly imageShape: readonly number[];
}

function drawInputs({ model }: ExportedModel, count: number): BatchInputs {
  const { inChannels, inputSize, numClasses } = model.config;
  const labels = randomIntegers(fold(randomKey(SEED), 'labels', count), count, numClasses);
  return {
    labels: tensorOf('i64', [count], labels),
    keys: Array.from({ length: count }, (_, i) => imageKey(SEED, i)),
    imageShape: [inChannels, inputSize, inputSize],
  };
}

async function checkDenoiser(check: BatchCheck): Promise<void> {
  const { saved, session, inputs, difference } = check;
  const { labels, keys, imageShape } = inputs;
  const count = keys.length;
  const feeds = new Map<string, HostTensor>([
    ['x', imageNoise(keys, imageShape, 'start')],
    ['t', networkTimes(saved, count)],
    ['y', labels],
  ]);
  await withLive(denoiserGraph(saved.model, count), check, async (live) => {
    difference.add(await session.run(feeds), await live.run(feeds));
  });
}

/** Random times in the unit that the network takes. */
function networkTimes({ card }: ExportedModel, count: number): HostTensor<'f32'> {
  const objective = createObjective(card.objective);
  const times = toNumbers(objective.sampleTimes(fold(randomKey(SEED), 'times', count), count));
  const scale = objective.kind === 'flow' ? objective.options.timeScale : 1;
  return tensorOf(
    'f32',
    [count],
    Array.from(times, (time) => time * scale),
  );
}

/** The first, a middle and the last step; each starts from noise. */
async function checkStep(check: BatchCheck, { plan, settings }: Drawing): Promise<void> {
  const { saved, inputs, difference } = check;
  const { labels, keys, imageShape } = inputs;
  const last = plan.steps.length - 1;
  const isGuided = guidedSteps(plan, settings);
  const shared: [string, HostTensor][] = [
    ['x', imageNoise(keys, imageShape, 'start')],
    ['labels', labels],
    ['cfgScale', scalar('f32', settings.cfgScale)],
    ...plan.memory.map((name, i) => [name, imageNoise(keys, imageShape, i)] as [string, HostTensor]),
  ];
  for (const guided of new Set(isGuided)) {
    const live = { ...settings, cfgScale: guided ? settings.cfgScale : 1 };
    const graph = buildStepGraph(saved.model, plan, live, keys.length);
    await withLive(graph, check, async (session) => {
      for (const step of new Set([0, last >> 1, last])) {
        if (isGuided[step] !== guided) continue;
        const feeds = new Map([...shared, ['noise', imageNoise(keys, imageShape, step)] as const]);
        const actual = await check.session.run(new Map([...feeds, [STEP_INPUT, scalar('i64', step)]]));
        difference.add(actual, await session.run(new Map([...feeds, ...plan.steps[step]!])));
      }
    });
  }
}

/** Whole images, as `udit sample` draws them. */
async function checkSampler(check: BatchCheck, { plan, settings }: Drawing): Promise<void> {
  const { saved, precision, session, inputs, difference, options } = check;
  const { labels, keys, imageShape } = inputs;
  const { backend, threads, cache, signal, onProgress } = options;
  const batchSize = keys.length;
  const sampler = await createSampler(saved, { ...settings, precision, backend, threads, cache, batchSize });
  let images: HostTensor;
  try {
    images = await sampler.generate({
      labels: Array.from(labels.data, Number),
      seed: SEED,
      signal,
      onStep: ({ share }) => onProgress?.(share / 2, ''),
    });
  } finally {
    await sampler.release();
  }
  const feeds = new Map<string, HostTensor>([
    ['noise', imageNoise(keys, imageShape, 'start')],
    ['labels', labels],
    ['cfgScale', scalar('f32', settings.cfgScale)],
  ]);
  if (plan.usesNoise) feeds.set('stepNoise', noiseOfSteps(keys, imageShape, plan.steps.length));
  difference.add(await session.run(feeds), new Map([['images', images]]));
}

/** The noise that each step of {@link createSampler} adds, [S,N,C,H,W]. */
export function noiseOfSteps(
  keys: readonly RandomKey[],
  imageShape: readonly number[],
  steps: number,
): HostTensor<'f32'> {
  const shape = [steps, keys.length, ...imageShape];
  const values = new Float32Array(sizeOf(shape));
  for (let step = 0; step < steps; step++) {
    values.set(imageNoise(keys, imageShape, step).data, (step * values.length) / steps);
  }
  return hostTensor('f32', shape, values);
}

/** Compiles a graph as the library does, and releases it afterwards. */
async function withLive(
  graph: Graph,
  { saved, precision, options }: BatchCheck,
  use: (live: Session) => Promise<void>,
): Promise<void> {
  const { backend, threads = 1, cache } = options;
  const live = await compileInference(inPrecision(graph, saved.model, precision), saved.weights, backend, {
    threads,
    cache,
  });
  try {
    await use(live);
  } finally {
    await live.release();
  }
}

function disagreement({ maxAbs, relativeL2, tolerance }: Agreement): NumericsError {
  return new NumericsError({
    where: 'export',
    problem: `the exported model gives other values than the live one: relative L2 ${relativeL2.toExponential(1)}, allowed ${tolerance}`,
    facts: [['largest difference', maxAbs.toExponential(1)]],
    fix: 'report this with the checkpoint; nothing was written',
  });
}
