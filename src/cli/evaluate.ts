/** @file `udit evaluate`: scores of samples against a reference. */
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { ConfigError } from '../core/errors.ts';
import type { ImageSize } from '../core/image-size.ts';
import { USUAL_LATENTS } from '../core/image-space.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { isGpu } from '../engine/runtime/session.ts';
import { crc32OfFile } from '../host/files/digest-node.ts';
import { makeFolder } from '../host/files/make-folder-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { findCheckpoint, locateCheckpoint } from '../models/bundled-node.ts';
import { compileCache } from '../models/compile-cache-node.ts';
import { type DrawnLatents, latentsOf } from '../models/latent-kinship.ts';
import { spaceOf } from '../models/saved-model.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import { type EvaluationRequest, evaluate } from '../tasks/evaluation/evaluate-node.ts';
import type { EvaluationDecoder } from '../tasks/evaluation/latent-pictures.ts';
import { modelPictures } from '../tasks/evaluation/model-pictures.ts';
import { type PictureSource, RESIZE_RULES, type ResizeRule } from '../tasks/evaluation/picture-source.ts';
import { METRIC_NAMES, type MetricName, WITHOUT_NETWORK } from '../tasks/evaluation/scores.ts';
import { createDecoder } from '../tasks/sampling/latent-decoder.ts';
import { describeWeights, findAutoencoder } from './decoder.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { drawingFormats, drawingPaths, expectPng, stemOf } from './drawing-file.ts';
import { describeEvaluation } from './evaluate-report.ts';
import { DEFAULT_EXTRACTOR, openExtractor } from './extractor.ts';
import { interruptible } from './failures.ts';
import { listAmong, namingFlags, threadCount, wholeNumber } from './flags.ts';
import {
  type ModelFlags,
  modelRequest,
  type TraceFlags,
  traceAtOf,
  withModelFlags,
  withTraceFlags,
} from './model-flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import { givenSettings, type SamplingFlags, settingsOf, withSamplingFlags } from './sampling-flags.ts';
import { notesOn, startProgress, type Terminal } from './terminal.ts';

interface EvaluateFlags extends ModelFlags, TraceFlags, SamplingFlags, DeviceFlag {
  readonly metrics?: readonly MetricName[];
  readonly extractor: string;
  readonly autoencoder?: string;
  readonly resize?: ResizeRule;
  readonly cropReference?: true;
  readonly k: number;
  readonly split: number;
  readonly saveStatistics?: string;
  readonly sheet?: string;
  readonly plot?: string;
  readonly numSamples: number;
  readonly seed: number;
  readonly json?: true;
  readonly batchSize: number;
  readonly workers?: number;
  readonly threads?: number;
  readonly cache: boolean;
}

const DEFAULT_SAMPLES = 50_000;
const DEFAULT_BATCH = 16;

const AFTER_HELP = `
REFERENCE is what is real: a folder of pictures, an .npz archive as ADM's (its mu and sigma are used
where it has them), statistics that --save-statistics wrote, latents, as of udit encode, which are
decoded, or a data set: emoji, emoji-3d.
SAMPLES are pictures likewise, or a run folder, a checkpoint or the name of fetched weights, which
draws them. What was drawn and extracted is kept in the cache: the same command goes on after a stop.

Metrics: fid, sfid, is (Inception Score), pr (precision and recall), dc (density and coverage), kid,
mind (useful from 1,000 pictures), and swd, which needs no network and suits small pictures.

Examples:
  npx udit evaluate emoji runs/mine --metrics swd --num-samples 2000
  npx udit evaluate VIRTUAL_imagenet256_labeled.npz samples_50000x256x256x3.npz
  npx udit evaluate photos samples --extractor DINOv2-L-14 --metrics fid,mind
  npx udit evaluate photos runs/mine --crop-reference --num-samples 10k --save-statistics photos.safetensors
`;

export function defineEvaluate(command: Command, terminal: Terminal): void {
  command
    .argument('<reference>', 'what is real: pictures, statistics, or a data set')
    .argument('<samples>', 'pictures, or a model that draws them')
    .optionsGroup('What to measure:')
    .addOption(
      new Option(
        '--metrics <list>',
        `of ${METRIC_NAMES.join()} (default: all that can be measured)`,
      ).argParser(listAmong(METRIC_NAMES)),
    )
    .option('--extractor <name>', 'network of the features: fetched weights, or a file', DEFAULT_EXTRACTOR)
    .option('--k <n>', 'neighbours of precision and recall', wholeNumber({ from: 1 }), 3)
    .option('--split <n>', 'pictures per split of the Inception Score', wholeNumber({ from: 1 }), 5000)
    .addOption(
      new Option(
        '--resize <rule>',
        'bring samples to the size of the reference by this filter of Pillow',
      ).choices(RESIZE_RULES),
    )
    .option(
      '--crop-reference',
      'crop and scale a reference folder to the size of the samples, as udit train does',
    )
    .option(
      '--autoencoder <name>',
      'decodes latents: a fetched one, a file or a run (default: that of the latents, where it is fetched)',
    )
    .optionsGroup('How a model draws its samples:')
    .option(
      '--num-samples <n>',
      'pictures, an equal share of each class',
      wholeNumber({ from: 1 }),
      DEFAULT_SAMPLES,
    )
    .option('--seed <n>', 'seed of the noise', wholeNumber({ from: 0 }), 0);
  withTraceFlags(withModelFlags(withSamplingFlags(command)))
    .optionsGroup('What to write:')
    .option('--save-statistics <file>', 'statistics of the reference, to be the reference later')
    .option('--sheet <file>', 'PNG of the best and worst samples, each above its nearest real picture')
    .option('--plot <file>', 'precision against recall for 1 to 10 neighbours; as .svg, .png or both')
    .option('--json', 'print scores and their provenance as JSON')
    .optionsGroup('Where to run it:')
    .addOption(deviceOption())
    .option('--workers <n>', 'batches at a time (default: one per core)', wholeNumber({ from: 1 }))
    .option('--threads <n>', 'CPU threads of each worker (default: 1)', threadCount)
    .option('--batch-size <n>', 'pictures in a batch of the network', wholeNumber({ from: 1 }), DEFAULT_BATCH)
    .option('--no-cache', 'keep no compiled models, features and pictures for later')
    .addHelpText('after', AFTER_HELP)
    .action((reference: string, samples: string, flags: EvaluateFlags) =>
      interruptible((signal) =>
        namingFlags(givenSettings(flags), () => run(reference, samples, flags, terminal, signal)),
      ),
    );
}

async function run(
  reference: string,
  samples: string,
  flags: EvaluateFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { saveStatistics, sheet, plot, metrics = METRIC_NAMES, k, split, resize, cropReference } = flags;
  const formats = plot === undefined ? [] : drawingFormats('--plot', plot);
  if (sheet !== undefined) expectPng('--sheet', sheet);
  const outputs = {
    '--save-statistics': saveStatistics === undefined ? [] : [saveStatistics],
    '--sheet': sheet === undefined ? [] : [sheet],
    '--plot': plot === undefined ? [] : drawingPaths(plot, formats),
  };
  for (const [flag, files] of Object.entries(outputs)) {
    await expectHarmlessOutputs(flag, files, [reference, samples]);
    for (const file of files) {
      await makeFolder(dirname(resolve(file)), {
        Failure: ConfigError,
        fix: `choose another place with ${flag}`,
      });
    }
  }
  const needsNetwork =
    metrics.some((metric) => !WITHOUT_NETWORK.includes(metric)) ||
    Object.values(outputs).some((files) => files.length > 0);
  const extractor = needsNetwork ? await openExtractor(flags.extractor) : undefined;
  const backend = await openDevice(flags.device);
  const workers = isGpu(backend.name) ? undefined : (flags.workers ?? physicalCores());
  let progress: ReturnType<typeof startProgress> | undefined;
  let side: string | undefined;
  const request: EvaluationRequest = {
    ...{ reference, samples, metrics, extractor, backend, k, split, resize, saveStatistics, sheet, signal },
    cropReference,
    plot: plot === undefined ? undefined : { stem: stemOf(plot), formats },
    ...(workers === undefined ? {} : { workers }),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(extractor?.name.startsWith('DINOv2') ? { frechetName: 'FD-DINOv2' } : {}),
    batch: flags.batchSize,
    autoencoder: flags.autoencoder,
    cache: flags.cache ? compileCache(notesOn(terminal)) : undefined,
    folder: flags.cache ? undefined : null,
    openModel: (where) => openModelPictures(where, flags, request, terminal),
    openDecoder: ({ name, shape: [inChannels, height, width], space }) =>
      openDecoder({ name, space, config: { inChannels } }, { height, width }, flags, request, terminal),
    onProgress(name, done, total) {
      if (name !== side) {
        progress?.stop();
        progress = startProgress(terminal, { title: name, total });
        side = name;
      }
      progress!.update(done, `${done} of ${total} pictures`);
    },
  };
  try {
    const evaluation = await evaluate(request);
    progress?.stop();
    terminal.out.write(
      flags.json === true
        ? `${JSON.stringify(evaluation, null, 2)}\n`
        : describeEvaluation(evaluation, flags.metrics),
    );
  } finally {
    progress?.stop();
  }
}

async function openModelPictures(
  where: string,
  flags: EvaluateFlags,
  request: EvaluationRequest,
  terminal: Terminal,
): Promise<PictureSource> {
  const path = await locateCheckpoint(where);
  const saved = await findCheckpoint(path, modelRequest(flags));
  try {
    const { crc32 } = await crc32OfFile(path);
    const { card, network, source } = saved;
    const space = spaceOf(card, network.config);
    const settings = settingsOf(saved, flags, terminal);
    const traceAt = traceAtOf(saved, flags);
    const size = traceAt.size ?? trainedSizeOf(network.config);
    const drawn = { name: card.name, config: network.config };
    const decoding =
      space.kind === 'latents'
        ? await openDecoder({ ...drawn, space }, size, flags, request, terminal)
        : undefined;
    const { backend, cache, signal } = request;
    return await modelPictures(saved, {
      ...settings,
      ...traceAt,
      ...{ name: where, count: flags.numSamples, seed: flags.seed, backend, cache, signal },
      weights: `${source} of CRC-32 ${crc32.toString(16).padStart(8, '0')}`,
      decoding,
      workers: flags.workers,
      threads: flags.threads,
    });
  } finally {
    await saved.close();
  }
}

/** @throws ConfigError if there is no autoencoder of these latents */
async function openDecoder(
  drawn: Omit<DrawnLatents, 'space'> & { readonly space: DrawnLatents['space'] | undefined },
  size: ImageSize,
  { autoencoder: asked }: EvaluateFlags,
  { backend, cache }: EvaluationRequest,
  terminal: Terminal,
): Promise<EvaluationDecoder> {
  const { name } = drawn;
  const saved = await findAutoencoder(asked, drawn.space ?? USUAL_LATENTS, terminal);
  if (saved === undefined) {
    throw new ConfigError({
      where: name,
      problem: 'it is of latents, which are no pictures',
      fix: 'name what decodes them with --autoencoder, such as sd-vae-ft-ema',
    });
  }
  const space = drawn.space ?? latentsOf(saved.card);
  const options = { size, backend, cache, workers: 1, threads: backend.machine?.cores };
  try {
    return {
      decoder: await createDecoder(saved, { ...options, drawn: { ...drawn, space } }),
      weights: await describeWeights(saved),
    };
  } finally {
    await saved.close();
  }
}
