/** @file Scores of samples of a model in training, against the pictures that it learns from. */
import { createHash } from 'node:crypto';
import { ConfigError } from '../../core/errors.ts';
import type { Samples } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { COARSEST } from '../../metrics/patches.ts';
import type { SampledModel } from '../sampling/sample.ts';
import { samplesInBatches } from './batches.ts';
import { type Collected, collect } from './collect-node.ts';
import type { NamedExtractor } from './evaluate-node.ts';
import { createExtractor, type Extractor, type ExtractorOptions } from './extractor.ts';
import { modelPictures } from './model-pictures.ts';
import type { PictureSource } from './picture-source.ts';
import { runtimeProduct } from './runtime-product.ts';
import { type MetricName, scoresOf, statisticsOf } from './scores.ts';

export interface TrainingScoresOptions extends ExtractorOptions {
  /** Pictures of the data. */
  readonly data: Samples;
  readonly metrics: readonly MetricName[];
  /** Samples to draw. */
  readonly count: number;
  readonly seed: number;
  /** Needed by all metrics but SWD. */
  readonly extractor: NamedExtractor | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TrainingScores {
  (
    model: SampledModel,
  ): Promise<{
    readonly scores: Readonly<Record<string, number>>;
    readonly provenance: string;
  }>;
  release(): Promise<void>;
}

/** Pictures read at once. */
const BATCH = 32;

/**
 * Scores models of one run. The pictures of the data are measured once; samples are drawn with the sampler's own settings
 * and the same noise every time.
 *
 * @throws ConfigError if the data are latents, or too small for a metric
 */
export function trainingScores(options: TrainingScoresOptions): TrainingScores {
  const { data, metrics, count, seed, extractor, backend, threads, signal } = options;
  const real = dataPictures(data, metrics);
  const { product, release } = runtimeProduct(backend, threads);
  let prepared:
    | Promise<{ readonly network: Extractor | undefined; readonly reference: Collected }>
    | undefined;
  const collectSide = (source: PictureSource, network: Extractor | undefined) =>
    collect(source, {
      extractor: network && { identity: extractor!.identity, network },
      patches: metrics.includes('swd'),
      // Each step has other samples: none would be found again.
      folder: null,
      signal,
    });
  const prepare = async () => {
    const network = extractor && (await createExtractor(extractor.saved, real.size, options));
    return { network, reference: await collectSide(real, network) };
  };
  const score = async (model: SampledModel) => {
    prepared ??= prepare();
    const { network, reference } = await prepared;
    const weights = 'of the run';
    const samples = await modelPictures(model, {
      ...{ name: 'samples', count, seed, weights, backend, cores: threads, signal },
    });
    try {
      const drawn = await collectSide(samples, network);
      const [first, second] = [
        { name: data.name, collected: reference },
        { name: 'samples', collected: drawn },
      ].map(({ name, collected }) => ({
        ...{ name, ...collected, statistics: statisticsOf(collected.moments) },
      }));
      const { scores } = await scoresOf(first!, second!, { metrics, product });
      const described = JSON.stringify([
        ...[extractor?.identity, reference.hash, reference.count, samples.provenance, count],
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
    async release() {
      await release();
      await (await prepared?.catch(() => undefined))?.network?.release();
    },
  });
}

function dataPictures(data: Samples, metrics: readonly MetricName[]): PictureSource {
  const { name, length, labels, space, shape } = data;
  const [, height, width] = shape;
  if (space.kind === 'latents') {
    throw new ConfigError({
      where: 'logging.scores',
      problem: `${name} holds latents, which are no pictures`,
      fix: 'score checkpoints with udit evaluate --autoencoder, and leave --evaluate-with out',
    });
  }
  if (metrics.includes('swd') && Math.min(height, width) < COARSEST) {
    throw new ConfigError({
      where: 'logging.scores',
      problem: `SWD needs pictures of ${COARSEST} pixels, those of ${name} have ${height}x${width}`,
      fix: 'leave swd out, or train on larger pictures',
    });
  }
  return {
    ...{ name, kind: 'data set', count: length, size: { height, width }, labels, doubts: [], provenance: {} },
    identity: null,
    async *batches(start) {
      for await (const x of samplesInBatches(data, start, BATCH)) yield toPixels(x);
    },
    close: async () => {},
  };
}
