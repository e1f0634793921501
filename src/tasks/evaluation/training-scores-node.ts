/** @file Scores of samples of a model in training, against the pictures that it learns from. */
import { createHash } from 'node:crypto';
import { ConfigError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import type { Samples } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import { SETTING_NAMES, type SettingName } from '../../diffusion/sampling-schema.ts';
import { COARSEST } from '../../metrics/patches.ts';
import type { ModelCard } from '../../models/saved-model.ts';
import type { SampledModel } from '../sampling/sample.ts';
import { chooseSettings, type RequestedSettings } from '../sampling/settings.ts';
import { samplesInBatches } from './batches.ts';
import { type Collected, collect } from './collect-node.ts';
import type { NamedExtractor } from './evaluate-node.ts';
import { createExtractor, type Extractor, type ExtractorOptions } from './extractor.ts';
import { decodedPictures, type EvaluationDecoder } from './latent-pictures.ts';
import { modelPictures } from './model-pictures.ts';
import type { PictureSource } from './picture-source.ts';
import { runtimeProduct } from './runtime-product.ts';
import { FRECHET_METRICS, type MetricName, needsRows, type Side, scoresOf, statisticsOf } from './scores.ts';
import { readReferenceStatistics } from './statistics-file-node.ts';

export interface TrainingScoresOptions extends ExtractorOptions {
  /** What the model learns from. */
  readonly data: Samples;
  readonly metrics: readonly MetricName[];
  /** Samples to draw. */
  readonly count: number;
  readonly seed: number;
  /** How they are drawn. What is left open is as it suits the model. */
  readonly sampling?: RequestedSettings | undefined;
  /** Needed by all metrics but SWD. */
  readonly extractor: NamedExtractor | undefined;
  /** Decodes data and samples where they are latents. It is not released. */
  readonly decoding?: EvaluationDecoder | undefined;
  /** A file of statistics that stands for the data, of which FID and sFID alone can be measured. */
  readonly reference?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TrainingScores {
  (
    model: SampledModel,
  ): Promise<{
    readonly scores: Readonly<Record<string, number>>;
    readonly provenance: string;
  }>;
  /** How many images the network sees for the scores; the extractor is not counted. */
  evaluations(card: Pick<ModelCard, 'spec' | 'objective' | 'guidance'>): number;
  release(): Promise<void>;
}

/** Pictures read at once. */
const BATCH = 32;

/** What samples are compared with: its side, and the hash of its pictures where it has one. */
interface Reference {
  readonly side: Side;
  readonly hash: string | undefined;
}

/**
 * Scores models of one run. The reference is measured once; samples are drawn with the same noise every time.
 *
 * @throws ConfigError if nothing decodes latents, or what there is does not do for a metric
 */
export function trainingScores(options: TrainingScoresOptions): TrainingScores {
  const {
    data,
    metrics,
    count,
    seed,
    sampling = {},
    extractor,
    decoding,
    backend,
    threads,
    signal,
  } = options;
  const kept = decoding && { ...decoding, decoder: { ...decoding.decoder, release: async () => {} } };
  const real = dataPictures(data, kept);
  expectMeasurable(options, real.size);
  const { product, release } = runtimeProduct(backend, threads);
  let prepared:
    | Promise<{ readonly network: Extractor | undefined; readonly reference: Reference }>
    | undefined;
  const collectSide = (source: PictureSource, network: Extractor | undefined) =>
    collect(source, {
      extractor: network && { identity: extractor!.identity, network },
      patches: metrics.includes('swd'),
      rows: metrics.some(needsRows),
      // Each step has other samples: none would be found again.
      folder: null,
      signal,
    });
  const prepare = async () => {
    const network = extractor && (await createExtractor(extractor.saved, real.size, options));
    const reference =
      options.reference === undefined
        ? referenceOf(data.name, await collectSide(real, network))
        : await storedReference(options.reference, extractor!.identity);
    return { network, reference };
  };
  const score = async (model: SampledModel) => {
    prepared ??= prepare();
    const { network, reference } = await prepared;
    const weights = 'of the run';
    const samples = await modelPictures(model, {
      ...sampling,
      ...{ name: 'samples', count, seed, weights, backend, decoding: kept, cores: threads, signal },
    });
    try {
      const { side } = referenceOf('samples', await collectSide(samples, network));
      const { scores } = await scoresOf(reference.side, side, { metrics, product });
      const way = comparedWay(samples.provenance, sampling);
      const described = JSON.stringify([
        ...[extractor?.identity, reference.hash, reference.side.count, way, count],
      ]);
      return {
        scores: Object.fromEntries(scores.map(({ metric, value }) => [metric, value])),
        provenance: createHash('sha256').update(described).digest('hex').slice(0, 16),
      };
    } finally {
      await samples.close();
    }
  };
  return Object.assign(score, {
    evaluations({ spec, objective, guidance }: Pick<ModelCard, 'spec' | 'objective' | 'guidance'>) {
      const learned = createObjective(objective);
      const settings = chooseSettings(learned.kind, spec.config, sampling, guidance);
      const { nfe } = planSampling(learned, settings.sampler, settings);
      return count * nfe * (settings.cfgScale === 1 ? 1 : 2);
    },
    async release() {
      await release();
      await (await prepared?.catch(() => undefined))?.network?.release();
    },
  });
}

/** Settings that every sampler has. */
const COMPARED: readonly string[] = ['sampler', 'steps', 'cfgScale'] satisfies readonly SettingName[];

/**
 * What must be the same of two scores. Other settings count if they were asked for: chosen ones follow from the objective,
 * so flows and Gaussian diffusion can be compared that are drawn with one sampler. The noise is each run's own.
 */
function comparedWay(
  { seed: _, ...provenance }: PictureSource['provenance'],
  asked: RequestedSettings,
): object {
  const isCompared = (name: string) =>
    !SETTING_NAMES.includes(name as SettingName) || COMPARED.includes(name) || name in asked;
  return Object.fromEntries(Object.entries(provenance).filter(([name]) => isCompared(name)));
}

function referenceOf(name: string, collected: Collected): Reference {
  return { side: { ...collected, name, statistics: statisticsOf(collected.moments) }, hash: collected.hash };
}

async function storedReference(path: string, extractor: string): Promise<Reference> {
  const { statistics, count = 0, hash } = await readReferenceStatistics(path, extractor);
  return { side: { name: path, count, statistics }, hash: hash ?? path };
}

function expectMeasurable(
  { data, metrics, reference }: TrainingScoresOptions,
  { height, width }: ImageSize,
): void {
  if (metrics.includes('swd') && Math.min(height, width) < COARSEST) {
    throw new ConfigError({
      where: 'logging.scores',
      problem: `SWD needs pictures of ${COARSEST} pixels, those of ${data.name} have ${height}x${width}`,
      fix: 'leave swd out, or train on larger pictures',
    });
  }
  const others = metrics.filter((metric) => !FRECHET_METRICS.includes(metric));
  if (reference === undefined || others.length === 0) return;
  throw new ConfigError({
    where: 'logging.scoreReference',
    problem: `statistics do for ${FRECHET_METRICS.join(' and ')}, but ${others.join()} needs the pictures themselves`,
    fix: `leave ${others.join()} out, or measure against the data`,
  });
}

/** Of latents what they decode to. */
function dataPictures(data: Samples, decoding: EvaluationDecoder | undefined): PictureSource {
  const { name, length: count, labels, space, shape } = data;
  const [, height, width] = shape;
  const common = { name, count, labels, identity: null, close: async () => {} };
  const values = (start: number) => samplesInBatches(data, start, BATCH);
  if (space.kind === 'latents') {
    if (decoding !== undefined)
      return decodedPictures({ ...common, shape, space, batches: values }, decoding);
    throw new ConfigError({
      where: 'logging.scores',
      problem: `${name} holds latents, and there is nothing that decodes them`,
      fix: 'name their autoencoder with --autoencoder, such as sd-vae-ft-ema, or leave --evaluate-with out',
    });
  }
  return {
    ...{ ...common, kind: 'data set', size: { height, width }, doubts: [], provenance: {} },
    async *batches(start) {
      for await (const x of values(start)) yield toPixels(x);
    },
  };
}
