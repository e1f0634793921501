/** @file Does an exported file compute what the model here computes? Both are run on the same inputs. */

import { Difference } from '../../core/difference.ts';
import { NumericsError } from '../../core/errors.ts';
import {
  type HostTensor,
  hostTensor,
  scalar,
  type TensorMap,
  tensorOf,
  toNumbers,
} from '../../core/host-tensor.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { fold, type RandomKey, randomIntegers, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { type Graph, leavesOf } from '../../engine/graph/graph.ts';
import type { Backend, Session } from '../../engine/runtime/session.ts';
import { Denoiser } from '../../networks/denoisers/denoiser.ts';
import type { Role } from '../../networks/family.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import { imageShapeOf, type TraceAt } from '../../networks/trace.ts';
import { imageKey, imageNoise } from '../sampling/image-noise.ts';
import { createSampler } from '../sampling/sample.ts';
import { guidedSteps } from '../sampling/settings.ts';
import { buildStepGraph } from '../sampling/step-graph.ts';
import { STEP_INPUT } from './export-graph.ts';
import type { Drawing, ExportedModel, ExportedNetwork, ExportedPart, OnnxExport } from './onnx-export.ts';

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

export const CHECK_OPTIONS: OptionTable<CheckOptions> = {
  backend: 'needed',
  threads: 'optional',
  cache: 'optional',
  signal: 'optional',
  onProgress: 'optional',
};

export interface Agreement {
  /** Images per run that were tried. */
  readonly batchSizes: readonly number[];
  /** The largest difference of any value from the live model in float32. */
  readonly maxAbs: number;
  /** ‖exported − live‖ / ‖live‖ over all values, live in float32. */
  readonly relativeL2: number;
  /** What the live model does in the file's precision, where that is not float32. */
  readonly live: LiveError | undefined;
  /** The largest relative L2 that passes: the rounding of float32, and `factor` times the live model's error. */
  readonly tolerance: number;
}

/** How far the live model in a precision is from itself in float32. */
export interface LiveError {
  readonly precision: Precision;
  readonly relativeL2: number;
  /** How many times this error a file may have. */
  readonly factor: number;
}

/** What float32 may do. One run rounds; a sampler feeds what was rounded to the network again and again. */
const F32_TOLERANCE: Readonly<Record<ExportedPart, number>> = {
  denoiser: 2e-5,
  network: 2e-5,
  'guided-step': 2e-5,
  sampler: 1e-3,
};

/**
 * How many times the live model's error to float32 a file may have. In int8 a difference of the last bit can make a step
 * of the quantisation, which a sampler feeds to the network again: two equally good runs differ, and one compared with the
 * other would count both errors. The factors were measured (LOG.md).
 */
const LIVE_FACTOR: Readonly<Record<ExportedPart, number>> = {
  denoiser: 1.1,
  network: 1.1,
  'guided-step': 1.1,
  sampler: 2.5,
};

/** A file for any batch size is run with these. */
const TRIED_BATCH_SIZES = [1, 3];
const SEED = 0;

/**
 * Runs a loaded export and the model it was made of on random inputs.
 *
 * @throws ConfigError for an option that does not exist or is missing
 * @throws NumericsError if the file is further from the live model in float32 than its precision explains
 */
export async function checkExport(
  saved: ExportedNetwork,
  exported: OnnxExport,
  session: Session,
  options: CheckOptions,
): Promise<Agreement> {
  expectOptions(options, 'checkExport', CHECK_OPTIONS);
  const { what, batchSize, traceAt, precision } = exported;
  const batchSizes = batchSize === undefined ? TRIED_BATCH_SIZES : [batchSize];
  const runCount = precision === 'f32' ? 2 : 3;
  const [ofFile, ofLive] = [new Difference(), new Difference()];
  for (const [i, count] of batchSizes.entries()) {
    const onProgress = (runsDone: number) =>
      options.onProgress?.((i + runsDone / runCount) / batchSizes.length, `batch of ${count}`);
    const runs = batchRuns({ saved, traceAt, session, count, options }, exported);
    const expected = await runs.live('f32', onProgress);
    options.signal?.throwIfAborted();
    addAll(ofFile, await runs.file(), expected);
    onProgress(2);
    if (precision !== 'f32') {
      addAll(ofLive, await runs.live(precision, (done) => onProgress(2 + done)), expected);
    }
    onProgress(runCount);
  }
  const live: LiveError | undefined =
    precision === 'f32' ? undefined : { precision, relativeL2: ofLive.relativeL2, factor: LIVE_FACTOR[what] };
  const { maxAbs, relativeL2 } = ofFile;
  const tolerance = F32_TOLERANCE[what] + (live === undefined ? 0 : live.factor * live.relativeL2);
  const agreement: Agreement = { batchSizes, maxAbs, relativeL2, live, tolerance };
  // A live model that fails too makes no file right.
  if (!(relativeL2 <= tolerance && Number.isFinite(relativeL2))) throw disagreement(agreement);
  return agreement;
}

function addAll(difference: Difference, actual: readonly TensorMap[], expected: readonly TensorMap[]): void {
  for (const [i, values] of expected.entries()) difference.add(actual[i]!, values);
}

interface Batch<R extends Role = Role> {
  readonly saved: ExportedNetwork<R>;
  readonly traceAt: TraceAt;
  readonly session: Session;
  /** Images. */
  readonly count: number;
  readonly options: CheckOptions;
}

/** The same inputs through the file and through the live model. Outputs of each run, in the same order. */
interface BatchRuns {
  file(): Promise<readonly TensorMap[]>;
  live(precision: Precision, onProgress: (done: number) => void): Promise<readonly TensorMap[]>;
}

function batchRuns(batch: Batch, { what, network, drawing }: OnnxExport): BatchRuns {
  if (network !== undefined) return networkRuns(batch, network(batch.count));
  const ofDenoiser = batch as Batch<'denoiser'>;
  return what === 'sampler' ? samplerRuns(ofDenoiser, drawing!) : stepRuns(ofDenoiser, drawing!);
}

interface BatchInputs {
  /** Classes without the null label, [N]. */
  readonly labels: HostTensor<'i64'>;
  readonly keys: readonly RandomKey[];
  readonly imageShape: readonly number[];
}

function drawInputs({
  saved: {
    network: { config },
  },
  count,
  traceAt: { size },
}: Batch<'denoiser'>): BatchInputs {
  const labels = randomIntegers(fold(randomKey(SEED), 'labels', count), count, config.numClasses);
  return {
    labels: tensorOf('i64', [count], labels),
    keys: Array.from({ length: count }, (_, i) => imageKey(SEED, i)),
    imageShape: imageShapeOf(config, size),
  };
}

function networkRuns(batch: Batch, graph: Graph): BatchRuns {
  const { saved, session, count } = batch;
  const isDenoiser = saved.network instanceof Denoiser;
  const feeds = isDenoiser ? denoiserFeeds(batch as Batch<'denoiser'>) : noiseFor(graph, count);
  return {
    file: async () => [await session.run(feeds)],
    live: (precision) => runLive(graph, precision, batch, [feeds]),
  };
}

function denoiserFeeds(batch: Batch<'denoiser'>): TensorMap {
  const { labels, keys, imageShape } = drawInputs(batch);
  return new Map<string, HostTensor>([
    ['x', imageNoise(keys, imageShape, 'start')],
    ['t', networkTimes(batch.saved, batch.count)],
    ['y', labels],
  ]);
}

/** Normal noise for every input. */
function noiseFor(graph: Graph, count: number): TensorMap {
  const keys = Array.from({ length: count }, (_, i) => imageKey(SEED, i));
  const inputs = leavesOf(graph, 'input');
  return new Map(inputs.map(({ params, shape }) => [params.name, imageNoise(keys, shape.slice(1), 'start')]));
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
function stepRuns(batch: Batch<'denoiser'>, { plan, settings }: Drawing): BatchRuns {
  const { saved, traceAt, session } = batch;
  const { labels, keys, imageShape } = drawInputs(batch);
  const last = plan.steps.length - 1;
  const isGuided = guidedSteps(plan, settings);
  const tried = [...new Set([0, last >> 1, last])];
  // A live graph is guided or not: steps of one kind after those of the other.
  const kinds = [true, false]
    .map((guided) => ({ guided, steps: tried.filter((step) => isGuided[step] === guided) }))
    .filter(({ steps }) => steps.length > 0);
  const feedsOf = (step: number): [string, HostTensor][] => [
    ['x', imageNoise(keys, imageShape, 'start')],
    ['labels', labels],
    ['cfgScale', scalar('f32', settings.cfgScale)],
    ...plan.memory.map((name, i): [string, HostTensor] => [name, imageNoise(keys, imageShape, i)]),
    ['noise', imageNoise(keys, imageShape, step)],
  ];
  return {
    async file() {
      const results: TensorMap[] = [];
      for (const step of kinds.flatMap(({ steps }) => steps)) {
        results.push(await session.run(new Map([...feedsOf(step), [STEP_INPUT, scalar('i64', step)]])));
      }
      return results;
    },
    async live(precision) {
      const results: TensorMap[] = [];
      for (const { guided, steps } of kinds) {
        const live = { ...settings, cfgScale: guided ? settings.cfgScale : 1 };
        const graph = buildStepGraph(saved.network, plan, live, keys.length, traceAt);
        const feeds = steps.map((step) => new Map([...feedsOf(step), ...plan.steps[step]!]));
        results.push(...(await runLive(graph, precision, batch, feeds)));
      }
      return results;
    },
  };
}

/** Whole images, as `udit sample` draws them. */
function samplerRuns(batch: Batch<'denoiser'>, { plan, settings }: Drawing): BatchRuns {
  const { saved, traceAt, session, options } = batch;
  const { labels, keys, imageShape } = drawInputs(batch);
  const feeds = new Map<string, HostTensor>([
    ['noise', imageNoise(keys, imageShape, 'start')],
    ['labels', labels],
    ['cfgScale', scalar('f32', settings.cfgScale)],
  ]);
  if (plan.usesNoise) feeds.set('stepNoise', noiseOfSteps(keys, imageShape, plan.steps.length));
  return {
    file: async () => [await session.run(feeds)],
    async live(precision, onProgress) {
      const { backend, threads, cache, signal } = options;
      const batchSize = keys.length;
      const sampler = await createSampler(saved, {
        ...settings,
        ...traceAt,
        precision,
        backend,
        threads,
        cache,
        batchSize,
      });
      try {
        const images = await sampler.generate({
          labels: Array.from(labels.data, Number),
          seed: SEED,
          signal,
          onStep: ({ share }) => onProgress(share),
        });
        return [new Map([['images', images]])];
      } finally {
        await sampler.release();
      }
    },
  };
}

/** The noise that each step of {@link createSampler} adds, [S,N,C,H,W]. */
function noiseOfSteps(
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

/** Compiles a graph as the library does, and runs it once with each of the feeds. */
async function runLive(
  graph: Graph,
  precision: Precision,
  { saved, options }: Batch,
  feeds: readonly TensorMap[],
): Promise<TensorMap[]> {
  const { backend, threads = 1, cache } = options;
  const live = await compileInference(inPrecision(graph, saved.network, precision), saved.weights, backend, {
    threads,
    cache,
  });
  try {
    const results: TensorMap[] = [];
    for (const one of feeds) results.push(await live.run(one));
    return results;
  } finally {
    await live.release();
  }
}

function disagreement({ maxAbs, relativeL2, live, tolerance }: Agreement): NumericsError {
  const ofLive: [string, string][] =
    live === undefined
      ? []
      : [
          [
            `live model in ${live.precision}`,
            `relative L2 ${live.relativeL2.toExponential(1)}, of which ${live.factor} times is allowed`,
          ],
        ];
  return new NumericsError({
    where: 'export',
    problem: `the exported model gives other values than the live one in float32: relative L2 ${relativeL2.toExponential(1)}, allowed ${tolerance.toExponential(1)}`,
    facts: [['largest difference', maxAbs.toExponential(1)], ...ofLive],
    fix: 'report this with the checkpoint; nothing was written',
  });
}
