/** @file Draws images from a model: one compiled step, run from noise to data for as many batches at once as there are workers. */
import { pMapIterable } from 'p-map';
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf, zeros } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import { noiseLevelAt } from '../../diffusion/noise-level.ts';
import { SETTING_OPTIONS } from '../../diffusion/sampling-schema.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference, groupingFor } from '../../engine/compile/inference.ts';
import type { Backend, Session } from '../../engine/runtime/session.ts';
import type { SavedModel } from '../../models/saved-model.ts';
import type { DenoiserConfig } from '../../networks/denoisers/denoiser.ts';
import type { PositionScaling } from '../../networks/nn/position-scaling.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import { imageShapeOf } from '../../networks/trace.ts';
import { BatchPlan, type PlannedBatch } from './batch-plan.ts';
import { chooseDrawing } from './choose-drawing.ts';
import {
  type BatchInputs,
  type BatchProgress,
  compileAdaptive,
  compileSteps,
  type DrawBatch,
  type DrawingCost,
} from './draw-batch.ts';
import { expectNoise, imageKey } from './image-noise.ts';
import { expectInit, type InitImage, type InitUse } from './init-image.ts';
import { batchMix, expectTowards, keyBetween, type Towards } from './interpolation.ts';
import { chooseComputing } from './parallelism.ts';
import { RunsUnderWay } from './runs-under-way.ts';
import { DEFAULT_BATCH_SIZE, type RequestedSettings, type SamplingSettings } from './settings.ts';
import { buildStepGraph } from './step-graph.ts';
import { workerBytes } from './worker-memory.ts';

// N images asked for · B batch · C H W image or latent

export interface SamplerOptions extends RequestedSettings {
  readonly backend: Backend;
  /** In pixels, or in latents for a model of latents. Default: the size that the model was trained at. */
  readonly size?: ImageSize | undefined;
  /** What positions outside the trained grid are. Default none: they go on. */
  readonly positionScaling?: PositionScaling | undefined;
  /**
   * Where drawing begins, as a share of the way from the data to noise, for requests with an `init`: 0.6 keeps the
   * composition of its image, 0.2 all but details. Steps that begin noisier are left out. Default 1, at noise.
   */
  readonly strength?: number | undefined;
  /** For requests with a `towards` of other classes: compiles a second class for each image. Default false. */
  readonly mixesClasses?: boolean | undefined;
  /** Default f32. In int8 an image depends a little on the others of its batch, see {@link Precision}. */
  readonly precision?: Precision | undefined;
  /** How many images will be drawn in all, where that is known: batches are cut evenly, and none has no worker. */
  readonly images?: number | undefined;
  /** Images that a worker draws at once, B; with `images` the most. Default 1; with guidance the network sees two. */
  readonly batchSize?: number | undefined;
  /**
   * Batches drawn at once, each by a thread that is not the caller's; changes the time that images take, never the
   * images. A `wasmBackend` has one worker, which is the calling thread. With `images` the most. Default: as many as
   * cores and memory suffice for.
   */
  readonly workers?: number | undefined;
  /** Threads of each worker. Default 1, and more where there are fewer batches than cores. */
  readonly threads?: number | undefined;
  /** Cores to use. Default: all. */
  readonly cores?: number | undefined;
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
  /** The noise that each image starts from, `f32[N,C,H,W]`. Default: drawn from the seed and the image's number. */
  readonly noise?: HostTensor<'f32'> | undefined;
  /** What all images begin with, at the sampler's `strength`. Default: noise alone. */
  readonly init?: InitImage | undefined;
  /** Where the way ends that each image is on, from what the request says otherwise. Default: none is on a way. */
  readonly towards?: Towards | undefined;
  /** Is this batch to be drawn? Others are passed over. Default: each is. */
  readonly isNeeded?: ((batch: Pick<PlannedBatch, 'first' | 'count'>) => boolean) | undefined;
  /** Stops before the next step, with the signal's reason as error. The sampler can be used again at once. */
  readonly signal?: AbortSignal | undefined;
  /** With several workers the steps of several batches alternate. */
  readonly onStep?: ((progress: StepProgress) => void) | undefined;
}

export interface StepProgress extends BatchProgress {
  /** Position of the batch's first image among the N. */
  readonly first: number;
}

export interface SampledBatch {
  /** Position of the first image among the N. */
  readonly first: number;
  /** `f32[≤B,C,H,W]`, nominally in [-1, 1] where images are pixels. */
  readonly images: HostTensor<'f32'>;
}

export interface ImageSampler extends DrawingCost {
  /** Of one image, [C, H, W]. */
  readonly imageShape: Shape;
  readonly settings: SamplingSettings;
  /** Where drawing begins, see {@link SamplerOptions}. */
  readonly strength: number;
  readonly precision: Precision;
  readonly batchSize: number;
  readonly workers: number;
  readonly threads: number;
  /** The most that a worker takes, in bytes. */
  readonly memoryPerWorker: number;
  /** The images in their order, each batch as soon as it and those before it are finished. */
  batches(request: SampleRequest): AsyncGenerator<SampledBatch>;
  /** All images, `f32[N,C,H,W]`. */
  generate(request: SampleRequest): Promise<HostTensor<'f32'>>;
  /**
   * Ends the workers and frees the memory of the compiled model, once images that are being drawn are finished. Batches
   * that are asked for later are refused.
   */
  release(): Promise<void>;
}

/** What the sampler needs of a saved model. */
export type SampledModel = Pick<SavedModel, 'network'> & {
  readonly weights: TensorMap | TensorSource;
  readonly card: Pick<SavedModel['card'], 'objective' | 'guidance' | 'space'>;
};

export const SAMPLER_OPTIONS: OptionTable<SamplerOptions> = {
  ...SETTING_OPTIONS,
  backend: 'needed',
  ...({
    strength: 'optional',
    mixesClasses: 'optional',
    precision: 'optional',
    size: 'optional',
    positionScaling: 'optional',
    cache: 'optional',
  } as const),
  ...({ images: 'optional', batchSize: 'optional' } as const),
  ...({ workers: 'optional', threads: 'optional', cores: 'optional' } as const),
};
const REQUEST_OPTIONS: OptionTable<SampleRequest> = {
  ...({ labels: 'needed', seed: 'needed' } as const),
  ...({ indices: 'optional', noise: 'optional', init: 'optional' } as const),
  ...({ towards: 'optional', isNeeded: 'optional' } as const),
  ...({ signal: 'optional', onStep: 'optional' } as const),
};
const UNGUIDED = { cfgScale: 1, cfgChannels: 'all' } as const;

/**
 * Compiles a model with its weights, guidance and the sampler's update into one step that draws `batchSize` images.
 *
 *     const sampler = await createSampler(saved, { backend: cpuBackend, steps: 4 });
 *     const images = await sampler.generate({ labels: [0, 0, 1], seed: 7 });
 *     await writeSheet('three.png', toPixels(images), { columns: 3 });
 *     await sampler.release();
 *
 * @throws ConfigError for an option that does not exist, or settings that do not fit the model or each other
 */
export async function createSampler(saved: SampledModel, options: SamplerOptions): Promise<ImageSampler> {
  expectOptions(options, 'createSampler', SAMPLER_OPTIONS);
  const {
    backend,
    size,
    positionScaling,
    strength = 1,
    mixesClasses = false,
    precision = 'f32',
    images,
    batchSize: most = DEFAULT_BATCH_SIZE,
    workers: askedWorkers,
    threads: askedThreads,
    cores,
    cache,
    ...requested
  } = options;
  const asked = { images, batchSize: most, workers: askedWorkers, threads: askedThreads, cores };
  for (const [name, value] of Object.entries(asked)) {
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue;
    throw new ConfigError({
      where: 'createSampler',
      problem: `${name} is ${value}`,
      fix: 'use a whole number from 1',
    });
  }
  const { objective, settings, plan } = chooseDrawing(saved, requested, strength);
  const load = { limited: settings.cfgInterval !== undefined, size };
  const bytesFor = (count: number) => workerBytes(saved.network, count, load);
  const { batchSize, workers, threads } = chooseComputing(backend, asked, bytesFor);
  const traceAt = { size, positionScaling, mixesClasses, ...(await groupingFor(backend)) };
  const compile = (guided: boolean): Promise<Session> => {
    const graph = buildStepGraph(saved.network, plan, guided ? settings : UNGUIDED, batchSize, traceAt);
    const program = inPrecision(graph, saved.network, precision);
    return compileInference(program, saved.weights, backend, { workers, threads, cache });
  };
  const levelAt = (time: number) => noiseLevelAt(objective, time);
  const { sessions, draw, ...cost } = await ('steps' in plan
    ? compileSteps(plan, settings, levelAt, compile)
    : compileAdaptive(plan, settings, levelAt, compile));
  const imageShape = imageShapeOf(saved.network.config, size);
  const { stepCount } = cost;
  const drawing = { imageShape, strength, stepCount, mixesClasses, draw };
  const compiled = { model: saved.network.config, ...drawing, batchSize, workers };
  const runs = new RunsUnderWay('sampler');
  return {
    imageShape,
    settings,
    strength,
    precision,
    batchSize,
    workers,
    threads,
    get memoryPerWorker() {
      return bytesFor(batchSize);
    },
    ...cost,
    batches: (request) => drawBatches(compiled, request, (run) => runs.start(run)),
    generate: (request) => runs.start(() => drawAll(compiled, request)),
    release: async () => {
      await runs.end();
      for (const session of sessions) await session.release();
    },
  };
}

interface CompiledSampler extends InitUse {
  readonly model: DenoiserConfig;
  readonly mixesClasses: boolean;
  readonly draw: DrawBatch;
  readonly batchSize: number;
  readonly workers: number;
}

async function drawAll(compiled: CompiledSampler, request: SampleRequest): Promise<HostTensor<'f32'>> {
  expectOptions(request, 'sampling', REQUEST_OPTIONS);
  const images = zeros('f32', [request.labels.length, ...compiled.imageShape]);
  const imageSize = sizeOf(compiled.imageShape);
  for await (const batch of drawBatches(compiled, request)) {
    images.data.set(batch.images.data, batch.first * imageSize);
  }
  return images;
}

/** Starts a run that release waits for. */
type StartRun = <T>(run: () => Promise<T>) => Promise<T>;

async function* drawBatches(
  compiled: CompiledSampler,
  request: SampleRequest,
  start: StartRun = (run) => run(),
): AsyncGenerator<SampledBatch, void, undefined> {
  const { batchSize, workers } = compiled;
  expectOptions(request, 'sampling', REQUEST_OPTIONS);
  const { labels, indices = labels.map((_, i) => i), isNeeded = () => true } = request;
  checkRequest(compiled, { ...request, indices });
  // Whoever stops taking images, and a batch that fails, stop the others too.
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(request.signal === undefined ? [] : [request.signal])]);
  const batches = new BatchPlan(labels.length, batchSize).batches().filter(isNeeded);
  const drawBatch = (batch: PlannedBatch) =>
    start(() => drawMembers(compiled, { ...request, indices, signal }, batch));
  try {
    // As many finished batches may wait to be taken as are being drawn.
    yield* pMapIterable(batches, drawBatch, { concurrency: workers, backpressure: 2 * workers });
  } finally {
    stop.abort();
  }
}

/** One batch: the same whatever else is drawn, in whichever order. */
async function drawMembers(
  compiled: CompiledSampler,
  request: NumberedRequest,
  { first, count, members }: PlannedBatch,
): Promise<SampledBatch> {
  const { batchSize, draw, imageShape, mixesClasses } = compiled;
  const { labels, indices, seed, noise, init, towards, signal, onStep } = request;
  const batch: BatchInputs = {
    imageShape,
    labels: tensorOf(
      'i64',
      [batchSize],
      members.map((i) => labels[i]!),
    ),
    keys: members.map((i) => (towards ? keyBetween(request, towards, i) : imageKey(seed, indices[i]!))),
    mix: mixesClasses ? batchMix(request, members) : undefined,
    noise: noise && chosen(noise, members),
    init,
  };
  const images = await draw(batch, signal, ({ x0, ...progress }) =>
    onStep?.({ ...progress, first, x0: leading(x0, count) }),
  );
  return { first, images: leading(images, count) };
}

/** The images at these positions. */
function chosen({ shape, data }: HostTensor<'f32'>, positions: readonly number[]): HostTensor<'f32'> {
  const imageShape = shape.slice(1);
  const size = sizeOf(imageShape);
  const images = zeros('f32', [positions.length, ...imageShape]);
  positions.forEach((at, n) => {
    images.data.set(data.subarray(at * size, (at + 1) * size), n * size);
  });
  return images;
}

/** The first `count` images, sharing memory. */
function leading({ shape, data }: HostTensor<'f32'>, count: number): HostTensor<'f32'> {
  const imageShape = shape.slice(1);
  return hostTensor('f32', [count, ...imageShape], data.subarray(0, count * sizeOf(imageShape)));
}

type NumberedRequest = SampleRequest & { readonly indices: readonly number[] };

function checkRequest(compiled: CompiledSampler, request: NumberedRequest): void {
  const { labels, indices, noise, init, towards } = request;
  expectImages(compiled, request);
  if (towards !== undefined) {
    expectTowards(towards, request, compiled.mixesClasses);
    expectImages(compiled, { ...towards, indices: towards.indices ?? indices });
  }
  if (noise !== undefined) expectNoise(noise, [labels.length, ...compiled.imageShape], 'noise');
  expectInit(init, compiled);
}

/** @throws ConfigError for a class that the model has not, another count of numbers than of labels, or a seed that is none */
function expectImages(
  { model: { numClasses } }: Pick<CompiledSampler, 'model'>,
  { labels, indices, seed }: Pick<NumberedRequest, 'labels' | 'indices' | 'seed'>,
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
