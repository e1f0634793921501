/** @file Draws images from a model: one compiled step, run from noise to data for as many batches at once as there are workers. */
import { pMapIterable } from 'p-map';
import type { CompileCache } from '../compile/cache.ts';
import { compileInference } from '../compile/inference.ts';
import { ConfigError, NumericsError } from '../core/errors.ts';
import { type HostTensor, hostTensor, scalar, type TensorMap, tensorOf, zeros } from '../core/host-tensor.ts';
import type { RandomKey } from '../core/random.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { createObjective } from '../diffusion/objectives.ts';
import { planSampling } from '../diffusion/samplers.ts';
import type { SamplingPlan } from '../diffusion/sampling-plan.ts';
import type { DenoiserConfig } from '../models/denoiser.ts';
import { inPrecision, type Precision } from '../models/precision.ts';
import type { Backend, Session } from '../runtime/session.ts';
import type { SavedModel } from '../saved-model/saved-model.ts';
import { guidedSteps } from './guidance-interval.ts';
import { imageKey, imageNoise } from './image-noise.ts';
import {
  chooseSettings,
  DEFAULT_BATCH_SIZE,
  type RequestedSettings,
  type SamplingSettings,
} from './settings.ts';
import { buildStepGraph, memoryOutput } from './step-graph.ts';

// N images asked for · B batch · C H W image or latent

export interface SamplerOptions extends RequestedSettings {
  readonly backend: Backend;
  /** Default f32. In int8 an image depends a little on the others of its batch, see {@link Precision}. */
  readonly precision?: Precision | undefined;
  /** Images that a worker draws at once, B; see {@link evenBatchSize}. Default 1; with guidance the network sees two. */
  readonly batchSize?: number | undefined;
  /**
   * Batches drawn at once, each by a thread that is not the caller's; changes the time that images take, never the
   * images. A `wasmBackend` has one worker, which is the calling thread. Default 1.
   */
  readonly workers?: number | undefined;
  /** Threads of each worker. Default 1: several workers make more images per second than several threads. */
  readonly threads?: number | undefined;
  /** Where the compiled step is kept for the next start; by default nowhere. */
  readonly cache?: CompileCache | undefined;
}

export interface SampleRequest {
  /** The class of each image, [N]. */
  readonly labels: readonly number[];
  /** Not negative. */
  readonly seed: number;
  /**
   * The number of each image, [N]: its noise comes from the seed and this number alone. Default 0 … N−1.
   */
  readonly indices?: readonly number[] | undefined;
  /** Stops before the next step, with the signal's reason as error. The sampler can be used again at once. */
  readonly signal?: AbortSignal | undefined;
  /** With several workers the steps of several batches alternate. */
  readonly onStep?: ((progress: StepProgress) => void) | undefined;
}

export interface StepProgress {
  /** Steps done in this batch, from 1. */
  readonly step: number;
  readonly steps: number;
  /** Position of the batch's first image among the N. */
  readonly first: number;
  /** The finished images as the network sees them now, `f32[≤B,C,H,W]`. */
  readonly x0: HostTensor<'f32'>;
}

export interface SampledBatch {
  /** Position of the first image among the N. */
  readonly first: number;
  /** `f32[≤B,C,H,W]`, nominally in [-1, 1] where images are pixels. */
  readonly images: HostTensor<'f32'>;
}

export interface ImageSampler {
  readonly settings: SamplingSettings;
  readonly precision: Precision;
  readonly batchSize: number;
  readonly workers: number;
  readonly threads: number;
  /** Steps from noise to image. */
  readonly stepCount: number;
  /** Evaluations of the network per image, not counting guidance twice. */
  readonly nfe: number;
  /** Runs of the network per image: with guidance, two for each evaluation. */
  readonly networkRuns: number;
  /** The images in their order, each batch as soon as it and those before it are finished. */
  batches(request: SampleRequest): AsyncGenerator<SampledBatch>;
  /** All images, `f32[N,C,H,W]`. */
  generate(request: SampleRequest): Promise<HostTensor<'f32'>>;
  /** Ends the workers and frees the memory of the compiled model. */
  release(): Promise<void>;
}

/** What the sampler needs of a saved model. */
export type SampledModel = Pick<SavedModel, 'model'> & {
  readonly weights: TensorMap | TensorSource;
  readonly card: Pick<SavedModel['card'], 'objective'>;
};

const UNGUIDED = { cfgScale: 1, cfgChannels: 'all' } as const;

/**
 * Compiles a model with its weights, guidance and the sampler's update into one step that draws `batchSize` images.
 *
 * @throws ConfigError if the settings do not fit the model or each other
 */
export async function createSampler(saved: SampledModel, options: SamplerOptions): Promise<ImageSampler> {
  const {
    backend,
    precision = 'f32',
    batchSize = DEFAULT_BATCH_SIZE,
    workers = 1,
    threads = 1,
    cache,
    ...requested
  } = options;
  for (const [name, value] of Object.entries({ batchSize, workers, threads })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ConfigError({
      where: 'createSampler',
      problem: `${name} is ${value}`,
      fix: 'use a whole number from 1',
    });
  }
  const objective = createObjective(saved.card.objective);
  const settings = chooseSettings(objective.kind, saved.model.config, requested);
  const plan = planSampling(objective, settings.sampler, settings);
  const isGuided = guidedSteps(plan, settings);
  const sessions = new Map<boolean, Session>();
  for (const guided of new Set(isGuided)) {
    const graph = buildStepGraph(saved.model, plan, guided ? settings : UNGUIDED, batchSize);
    const program = inPrecision(graph, saved.model, precision);
    const options = { workers, threads, cache };
    sessions.set(guided, await compileInference(program, saved.weights, backend, options));
  }
  const compiled: CompiledStep = {
    model: saved.model.config,
    settings,
    plan,
    sessions: isGuided.map((guided) => sessions.get(guided)!),
    batchSize,
    workers,
  };
  return {
    settings,
    precision,
    batchSize,
    workers,
    threads,
    stepCount: plan.steps.length,
    nfe: plan.nfe,
    networkRuns: (plan.nfe / isGuided.length) * (isGuided.length + isGuided.filter(Boolean).length),
    batches: (request) => drawBatches(compiled, request),
    generate: (request) => drawAll(compiled, request),
    release: async () => {
      for (const session of sessions.values()) await session.release();
    },
  };
}

interface CompiledStep {
  readonly model: DenoiserConfig;
  readonly settings: SamplingSettings;
  readonly plan: SamplingPlan;
  /** What runs each step: with a guidance interval, steps outside it run a network that sees each image once. */
  readonly sessions: readonly Session[];
  readonly batchSize: number;
  readonly workers: number;
}

async function drawAll(compiled: CompiledStep, request: SampleRequest): Promise<HostTensor<'f32'>> {
  const images = zeros('f32', [request.labels.length, ...imageShapeOf(compiled.model)]);
  const imageSize = sizeOf(imageShapeOf(compiled.model));
  for await (const batch of drawBatches(compiled, request)) {
    images.data.set(batch.images.data, batch.first * imageSize);
  }
  return images;
}

async function* drawBatches(
  compiled: CompiledStep,
  request: SampleRequest,
): AsyncGenerator<SampledBatch, void, undefined> {
  const { batchSize, workers } = compiled;
  const { labels, indices = labels.map((_, i) => i) } = request;
  checkRequest(compiled.model, labels, indices, request.seed);
  // Whoever stops taking images, and a batch that fails, stop the others too.
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(request.signal === undefined ? [] : [request.signal])]);
  const firsts = Array.from({ length: Math.ceil(labels.length / batchSize) }, (_, i) => i * batchSize);
  const drawFrom = (first: number) => drawMembers(compiled, { ...request, indices, signal }, first);
  try {
    // As many finished batches may wait to be taken as are being drawn.
    yield* pMapIterable(firsts, drawFrom, { concurrency: workers, backpressure: 2 * workers });
  } finally {
    stop.abort();
  }
}

/** The batch that begins with image `first`: the same whatever else is drawn, in whichever order. */
async function drawMembers(
  compiled: CompiledStep,
  { labels, indices, seed, signal, onStep }: SampleRequest & Required<Pick<SampleRequest, 'indices'>>,
  first: number,
): Promise<SampledBatch> {
  const { batchSize, plan } = compiled;
  const count = Math.min(batchSize, labels.length - first);
  // The graph takes full batches: the last image fills what is left, and is cut off again.
  const members = Array.from({ length: batchSize }, (_, k) => first + Math.min(k, count - 1));
  const batch: BatchInputs = {
    labels: tensorOf(
      'i64',
      [batchSize],
      members.map((i) => labels[i]!),
    ),
    keys: members.map((i) => imageKey(seed, indices![i]!)),
  };
  const images = await drawBatch(compiled, batch, signal, (step, x0) =>
    onStep?.({ step, steps: plan.steps.length, first, x0: leading(x0, count) }),
  );
  return { first, images: leading(images, count) };
}

interface BatchInputs {
  readonly labels: HostTensor<'i64'>;
  readonly keys: readonly RandomKey[];
}

async function drawBatch(
  { model, settings, plan, sessions }: CompiledStep,
  { labels, keys }: BatchInputs,
  signal: AbortSignal | undefined,
  onStep: (step: number, x0: HostTensor<'f32'>) => void,
): Promise<HostTensor<'f32'>> {
  const imageShape = imageShapeOf(model);
  const cfgScale = scalar('f32', settings.cfgScale);
  let x = imageNoise(keys, imageShape, 'start');
  let memory: TensorMap = new Map(plan.memory.map((name) => [name, zeros('f32', x.shape)]));
  for (const [index, planned] of plan.steps.entries()) {
    signal?.throwIfAborted();
    const feeds = new Map<string, HostTensor>([
      ...planned,
      ...memory,
      ['x', x],
      ['labels', labels],
      ['cfgScale', cfgScale],
    ]);
    if (plan.usesNoise) feeds.set('noise', imageNoise(keys, imageShape, index));
    const results = await sessions[index]!.run(feeds);
    memory = new Map(plan.memory.map((name) => [name, results.get(memoryOutput(name))!]));
    x = results.get('next') as HostTensor<'f32'>;
    checkFinite(x, index + 1, plan.steps.length);
    onStep(index + 1, results.get('x0') as HostTensor<'f32'>);
  }
  return x;
}

function imageShapeOf({ inChannels, inputSize }: DenoiserConfig): Shape {
  return [inChannels, inputSize, inputSize];
}

/** The first `count` images, sharing memory. */
function leading({ shape, data }: HostTensor<'f32'>, count: number): HostTensor<'f32'> {
  const imageShape = shape.slice(1);
  return hostTensor('f32', [count, ...imageShape], data.subarray(0, count * sizeOf(imageShape)));
}

function checkRequest(
  { numClasses }: DenoiserConfig,
  labels: readonly number[],
  indices: readonly number[],
  seed: number,
): void {
  const unknown = labels.find((label) => !(Number.isInteger(label) && label >= 0 && label < numClasses));
  if (unknown !== undefined) {
    throw new ConfigError({
      where: 'sampling',
      problem: `there is no class ${unknown}: the model has ${numClasses}`,
      fix: `use labels from 0 to ${numClasses - 1}`,
    });
  }
  if (indices.length !== labels.length) {
    throw new ConfigError({
      where: 'sampling',
      problem: `${indices.length} image numbers are given for ${labels.length} labels`,
      fix: 'give one per label, or none',
    });
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ConfigError({
      where: 'sampling',
      problem: `the seed is ${seed}`,
      fix: 'use a whole number from 0',
    });
  }
}

function checkFinite({ data }: HostTensor<'f32'>, step: number, steps: number): void {
  const unusable = data.find((value) => !Number.isFinite(value));
  if (unusable === undefined) return;
  throw new NumericsError({
    where: 'sampling',
    problem: `after step ${step} of ${steps} an image holds ${unusable}`,
    fix: 'the weights are damaged or their training diverged: use an earlier checkpoint',
  });
}
