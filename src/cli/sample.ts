/** @file `udit sample`: images from a checkpoint. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { plural } from '../charts/format.ts';
import { ConfigError, DataError } from '../core/errors.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import type { ImageSize } from '../core/image-size.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { isGpu } from '../engine/runtime/session.ts';
import { parseNpy } from '../formats/npy.ts';
import { crc32OfFile } from '../host/files/digest-node.ts';
import { expectFolderPossible, expectRoomIn } from '../host/files/make-folder-node.ts';
import { isNowhere, systemErrorCode } from '../host/files/write-error-node.ts';
import { findCheckpoint, locateCheckpoint, type OpenCheckpoint } from '../models/bundled-node.ts';
import { compileCache } from '../models/compile-cache-node.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import { PRECISIONS, type Precision } from '../networks/precision.ts';
import { BatchPlan, type Part, WHOLE } from '../tasks/sampling/batch-plan.ts';
import { chooseClasses, classesOf } from '../tasks/sampling/classes.ts';
import { expectBatchFits, expectImagesFit } from '../tasks/sampling/enough-memory-node.ts';
import { createPipeline } from '../tasks/sampling/pipeline.ts';
import type { StepProgress } from '../tasks/sampling/sample.ts';
import { drawToFolder, leastBytes } from '../tasks/sampling/sample-files-node.ts';
import { DEFAULT_BATCH_SIZE } from '../tasks/sampling/settings.ts';
import { drawWays } from '../tasks/sampling/way-files-node.ts';
import { workerBytes } from '../tasks/sampling/worker-memory.ts';
import { compileDecoder, type LatentsInUse, openLatents, openPreviewDecoder } from './decoder.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { interruptible } from './failures.ts';
import { namingFlags, partOfAll, threadCount, wholeNumber } from './flags.ts';
import { type InitFlags, openInit, strengthOf, withInitFlags } from './init-image-flags.ts';
import { type InterpolationFlags, waysOf, withInterpolationFlags } from './interpolation-flags.ts';
import {
  type ModelFlags,
  modelRequest,
  type TraceFlags,
  traceAtOf,
  withModelFlags,
  withTraceFlags,
} from './model-flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import {
  describeAsJson,
  describeResult,
  describeStart,
  describeWays,
  describeWaysAsJson,
} from './sample-report.ts';
import { givenSettings, type SamplingFlags, settingsOf, withSamplingFlags } from './sampling-flags.ts';
import { notesOn, startProgress, type Terminal } from './terminal.ts';

interface SampleFlags
  extends ModelFlags,
    TraceFlags,
    SamplingFlags,
    InitFlags,
    InterpolationFlags,
    DeviceFlag {
  readonly classes: string;
  readonly count?: number;
  readonly seed: number;
  readonly out: string;
  readonly png: boolean;
  readonly npz?: true;
  readonly previews?: true;
  readonly part?: Part;
  readonly noise?: string;
  readonly autoencoder?: string;
  readonly latents?: true;
  readonly tile?: number;
  readonly json?: true;
  readonly precision: Precision;
  readonly batchSize?: number;
  readonly workers?: number;
  readonly threads?: number;
  readonly cache: boolean;
}

const EXAMPLES = `
Examples:
  npx udit sample                                      the bundled emoji model, all classes
  npx udit sample --classes flags,food --count 8       eight each of two classes
  npx udit sample u-dit-xs-emoji-3d                    the bundled model of latents: rendered emoji of 128x128
  npx udit sample runs/mine --cfg-scale 4 --seed 1     the latest checkpoint of a run
  npx udit sample --image-size 48x32                   larger than the 32x32 it was trained at
  npx udit sample --sampler dpm++2m --steps 12         another sampler
  npx udit sample --sampler dopri5 --rtol 1e-4         adaptive steps of this tolerance
  npx udit sample --sampler sde-euler --steps 250 --diffusion-form sbdm --last-step tweedie
  npx udit sample runs/mine --count 5k --npz --no-png  an archive for metrics; again: continues it
  npx udit sample runs/mine --count 5k --npz --part 1/4   a quarter; without --part: joins them
  npx udit sample U-DiT-L-1000k --classes 207          published weights, decoded by sd-vae-ft-ema where it is fetched
  npx udit sample U-DiT-L-1000k --autoencoder TAESD    decoded by a tiny autoencoder
  npx udit sample --init-image photo.jpg --strength 0.5   begins with a picture under noise
  npx udit sample --init-image photo.jpg --mask hole.png  draws what is white in hole.png anew
  npx udit sample --classes food --interpolate 8 --to-seed 1   from one dish to another, in eight pictures
  npx udit sample --classes food --to-classes animals --interpolate 30 --animate   from dish to animal, as WebP
`;

const DEFAULT_COUNT = 4;

export function defineSample(command: Command, terminal: Terminal): void {
  command
    .argument(
      '[run]',
      'run folder (its latest checkpoint), .safetensors or .pt file, or the name of fetched or bundled weights; by default the bundled emoji model',
    )
    .optionsGroup('What to draw:')
    .option('--classes <list>', 'names or numbers, separated by commas', 'all')
    .option(
      '--count <n>',
      `images per class (default: ${DEFAULT_COUNT}, with --interpolate 1 way)`,
      wholeNumber({ from: 1 }),
    )
    .option('--seed <n>', 'seed of the noise', wholeNumber({ from: 0 }), 0)
    .option('--noise <file>', '.npy of [images, channels, height, width] to start from, class after class')
    .option('--part <k/n>', 'only part k of n, for several machines', partOfAll);
  withTraceFlags(withModelFlags(withInterpolationFlags(withInitFlags(command)))).optionsGroup(
    'How to draw it (by default what suits the model):',
  );
  withSamplingFlags(command)
    .optionsGroup('What to write:')
    .option('--out <folder>', 'where to write', './samples')
    .option(
      '--autoencoder <name>',
      'decodes latents: a fetched one, a file or a run (default: that of the latents, where it is fetched)',
    )
    .option(
      '--tile <pixels>',
      'decodes in tiles of this side, to bound memory (default: whole pictures)',
      wholeNumber({ from: 1 }),
    )
    .addOption(new Option('--latents', 'write latents to an .npz archive undecoded').conflicts('autoencoder'))
    .option('--npz', 'write samples_{n}x{size}x{size}x3.npz with arr_0 too; latents always are')
    .option('--no-png', 'write no PNG files and no sheet')
    .option('--previews', 'write previews.png: the predicted picture of each step')
    .option('--json', 'print the result as JSON')
    .optionsGroup('Where to run it:')
    .addOption(deviceOption())
    .addOption(
      new Option(
        '--precision <name>',
        'int8: linear layers with 8-bit weights and activations; faster, slightly less accurate',
      )
        .choices(PRECISIONS)
        .default('f32'),
    )
    .option(
      '--workers <n>',
      'batches at a time (default: one per core, at most the number of batches)',
      wholeNumber({ from: 1 }),
    )
    .option('--threads <n>', 'CPU threads of each worker (default: 1, more for few images)', threadCount)
    .option(
      '--batch-size <n>',
      `most images in a batch (default: ${DEFAULT_BATCH_SIZE})`,
      wholeNumber({ from: 1 }),
    )
    .option('--no-cache', 'compile the model without reading or filling the cache')
    .addHelpText('after', EXAMPLES)
    .action((run: string | undefined, flags: SampleFlags) =>
      interruptible((signal) =>
        namingFlags(givenSettings(flags), () => sample(run, flags, terminal, signal)),
      ),
    );
}

/** What is to be drawn, and what draws it; the weights are not needed any more. */
async function compilePipeline(saved: OpenCheckpoint, flags: SampleFlags, terminal: Terminal) {
  const classes = classesOf(saved.network.config, saved.card);
  const labels = chooseClasses(flags.classes, classes);
  const count = flags.count ?? (flags.interpolate === undefined ? DEFAULT_COUNT : 1);
  const ways = waysOf({ ...flags }, labels, count, classes);
  const imageCount = ways === undefined ? labels.length * count : ways.ways.length * ways.pictures;
  expectImagesFit('--count', imageCount);
  const { card, network } = saved;
  const settings = settingsOf(saved, flags, terminal, strengthOf(flags));
  const traceAt = traceAtOf(saved, flags);
  const backend = await openDevice(flags.device);
  if (!isGpu(backend.name)) {
    const largest = Math.min(imageCount, flags.batchSize ?? DEFAULT_BATCH_SIZE);
    const load = { limited: settings.cfgInterval !== undefined, size: traceAt.size };
    expectBatchFits(largest, (images) => workerBytes(network, images, load));
  }
  const cache = flags.cache ? compileCache(notesOn(terminal)) : undefined;
  const size = traceAt.size ?? trainedSizeOf(network.config);
  const latents = await openLatents(saved, flags, terminal);
  const computing = { backend, size, cache };
  const compileAutoencoder = async () => {
    await expectPlace(Math.floor(imageCount / (flags.part?.parts ?? 1)), size, saved, latents, flags);
    const init = await openInit(flags, { ...computing, channels: network.config.inChannels, latents });
    const autoencoder = latents && (await compileDecoder(latents, flags, computing));
    if (ways !== undefined && autoencoder === undefined && latents !== undefined) {
      throw new ConfigError({
        where: '--interpolate',
        problem: `${card.name} draws latents, and there is no autoencoder to show them with`,
        fix: 'name one with --autoencoder',
      });
    }
    const previewDecoder =
      flags.previews === true && latents !== undefined
        ? await openPreviewDecoder(latents, autoencoder, computing)
        : undefined;
    return { init, autoencoder, previewDecoder };
  };
  const { init, autoencoder, previewDecoder } = await compileAutoencoder().finally(
    latents?.autoencoder?.close,
  );
  const pipeline = await createPipeline(saved, {
    ...settings,
    ...traceAt,
    strength: strengthOf(flags),
    mixesClasses: ways?.ways.some(({ from, to }) => from.label !== to.label),
    backend,
    precision: flags.precision,
    images: imageCount,
    batchSize: flags.batchSize,
    workers: flags.workers,
    threads: flags.threads,
    cache,
    autoencoder,
  });
  const { workers, batchSize } = pipeline.sampler;
  const batches = new BatchPlan(imageCount, batchSize).batchesOf(flags.part ?? WHOLE);
  const batchCount = batches.length;
  if (workers < Math.min(flags.workers ?? 1, batchCount)) {
    terminal.err.write(
      `note: ${plural(workers, 'worker')} instead of ${flags.workers}: that is what cores and free memory are for\n`,
    );
  }
  const partCount = batches.reduce((sum, { count }) => sum + count, 0);
  return {
    pipeline,
    autoencoder,
    previewDecoder,
    init,
    device: backend.name,
    classes,
    labels,
    count,
    ways,
    imageCount: partCount,
    batchCount,
  };
}

/** Before anything is compiled. What a folder lacks that has pictures is known later. */
async function expectPlace(
  pictures: number,
  { height, width }: ImageSize,
  { network }: OpenCheckpoint,
  latents: LatentsInUse | undefined,
  { out, png, npz, latents: undecoded }: SampleFlags,
): Promise<void> {
  await expectFolderPossible(out, ELSEWHERE);
  if (existsSync(out)) return;
  const decodes = latents?.autoencoder !== undefined && undecoded !== true;
  const [channels, factor] = decodes ? [RGB, latents.drawn.space.factor] : [network.config.inChannels, 1];
  const isLatent = latents !== undefined && !decodes;
  const shape = [channels, height * factor, width * factor];
  const bytes = leastBytes(pictures, shape, { png, npz: npz === true, isLatent });
  await expectRoomIn(out, bytes, ELSEWHERE);
}

const RGB = 3;
const ELSEWHERE = { fix: 'choose another folder with --out' };

/** Which weights these are, on any machine. */
async function originOf({ source }: OpenCheckpoint, path: string): Promise<Record<string, unknown>> {
  const { byteLength, crc32 } = await crc32OfFile(path);
  const sum = crc32.toString(16).padStart(8, '0');
  return { checkpoint: `${byteLength} bytes, CRC-32 ${sum}`, weights: source };
}

/** The array of an `.npy` file, as float32. */
async function readNoise(path: string): Promise<HostTensor<'f32'>> {
  const bytes = await readFile(path).catch((cause) => {
    throw new DataError({
      where: path,
      problem: `the noise cannot be read (${systemErrorCode(cause) ?? cause})`,
      fix: 'give an .npy file',
      absent: isNowhere(cause),
      cause,
    });
  });
  const { dtype, shape, data } = parseNpy(bytes, path);
  if (dtype === 'f32' || dtype === 'f64')
    return hostTensor('f32', shape, Float32Array.from(data as Float64Array));
  throw new ConfigError({
    where: path,
    problem: `it holds ${dtype}, noise is of f32`,
    fix: 'convert it with astype(numpy.float32)',
  });
}

/** Where the number of steps is not known beforehand, the way is told in hundredths of its time. */
const ADAPTIVE_PARTS = 100;

/** How far all batches together are. */
class Reached {
  imagesDone = 0;
  /** Evaluations of the network, of all batches. */
  nfe = 0;
  readonly #shares = new Map<number, number>();
  #batchesFound = 0;

  /** @param parts - of the way of one batch */
  constructor(readonly parts: number) {}

  /** These batches were drawn by an earlier run. */
  skip(images: number, batches: number): void {
    this.imagesDone += images;
    this.#batchesFound = batches;
  }

  add({ first, share, nfe, x0 }: StepProgress): void {
    this.#shares.set(first, share);
    if (share < 1) return;
    this.imagesDone += x0.shape[0]!;
    this.nfe += nfe;
  }

  get partsDone(): number {
    const shares = [...this.#shares.values()].reduce((sum, share) => sum + share, this.#batchesFound);
    return Math.round(this.parts * shares);
  }

  /** Of a batch, on average. */
  get meanNfe(): number {
    return this.nfe / Math.max(1, this.#shares.size);
  }
}

async function sample(
  run: string | undefined,
  flags: SampleFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const path = await locateCheckpoint(run);
  await expectHarmlessOutputs('--out', [flags.out]);
  const noise = flags.noise === undefined ? undefined : await readNoise(flags.noise);
  const saved = await findCheckpoint(path, modelRequest(flags));
  const compiled = await compilePipeline(saved, flags, terminal).finally(saved.close);
  const { pipeline, autoencoder, previewDecoder, init, device, classes, labels, count, ways } = compiled;
  const { imageCount, batchCount } = compiled;
  const { sampler } = pipeline;
  const reached = new Reached(sampler.stepCount ?? ADAPTIVE_PARTS);
  const drawn = {
    saved,
    path,
    sampler,
    space: pipeline.space,
    autoencoder,
    previewDecoder,
    device,
    init: flags.initImage === undefined ? undefined : { image: flags.initImage, mask: flags.mask },
    ways,
    imageCount,
    seed: flags.seed,
    folder: flags.out,
    reached,
  };
  if (flags.json !== true) terminal.out.write(describeStart(drawn));
  const progress = startProgress(terminal, {
    title: 'sampling',
    total: batchCount * reached.parts,
  });
  const onStep = (step: StepProgress): void => {
    reached.add(step);
    progress.update(reached.partsDone, `${reached.imagesDone} of ${imageCount} images`);
  };
  try {
    if (ways !== undefined) {
      const animate = flags.animate === true;
      const files = await drawWays({
        ...ways,
        pipeline,
        classes,
        folder: flags.out,
        animate,
        signal,
        onStep,
      });
      progress.stop();
      terminal.out.write(flags.json === true ? describeWaysAsJson(drawn, files) : describeWays(drawn, files));
      return;
    }
    const files = await drawToFolder({
      pipeline,
      classes,
      labels,
      count,
      seed: flags.seed,
      folder: flags.out,
      png: flags.png,
      npz: flags.npz === true,
      previews: flags.previews === true,
      decoder: previewDecoder,
      part: flags.part,
      noise,
      init,
      origin: {
        device,
        positionScaling: flags.positionScaling,
        ...(autoencoder && { autoencoder: autoencoder.name }),
        ...(await originOf(saved, path)),
      },
      signal,
      onResume: (found, batches) => {
        notesOn(terminal)(`${found} of ${plural(imageCount, 'image')} are there already`);
        reached.skip(found, batches);
      },
      onStep,
    });
    progress.stop();
    terminal.out.write(flags.json === true ? describeAsJson(drawn, files) : describeResult(drawn, files));
  } finally {
    progress.stop();
    await pipeline.release();
    await autoencoder?.release();
    await previewDecoder?.release();
  }
}
