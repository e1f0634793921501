/** @file Scores of samples against a reference, whatever both are: folders, archives, data sets, statistics, models. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { plural } from '../../charts/format.ts';
import { writeDrawing } from '../../charts/png-node.ts';
import { uditCommand } from '../../core/command.ts';
import { ConfigError, DataError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { version } from '../../core/version-node.ts';
import { isEmojiKind } from '../../data/datasets/emoji-node.ts';
import { writePng } from '../../data/images/png-node.ts';
import type { SavedNetwork } from '../../models/saved-model.ts';
import { type Collected, collect } from './collect-node.ts';
import { describeClasses, doubtsAbout } from './doubts.ts';
import { createExtractor, type Extractor, type ExtractorOptions } from './extractor.ts';
import { decodedPictures, type EvaluationDecoder, type StoredLatents } from './latent-pictures.ts';
import { manifoldPlot } from './manifold-plot.ts';
import { neighbourSheet } from './neighbour-sheet.ts';
import { openStoredLatents } from './open-latents-node.ts';
import { openArchive, openDataSet, openPictureFolder } from './open-pictures-node.ts';
import { atSizeOf, type PictureSource, type ResizeRule } from './picture-source.ts';
import { runtimeProduct } from './runtime-product.ts';
import {
  blockFor,
  classSums,
  type MetricName,
  needsRows,
  type Score,
  type Side,
  scoresOf,
  statisticsOf,
} from './scores.ts';
import {
  readAdmStatistics,
  readStatistics,
  type StoredStatistics,
  writeStatistics,
} from './statistics-file-node.ts';

/** A feature network and what to call it. */
export interface NamedExtractor {
  readonly name: string;
  /** Its configuration and its weights, as one word. */
  readonly identity: string;
  readonly saved: Pick<SavedNetwork<'features'>, 'network' | 'weights'>;
}

export interface EvaluationRequest extends ExtractorOptions {
  /** A picture folder, an `.npz` archive, latents, a file of statistics, or the name of a data set. */
  readonly reference: string;
  /** Pictures likewise, or a model. */
  readonly samples: string;
  readonly metrics: readonly MetricName[];
  readonly extractor?: NamedExtractor | undefined;
  /** What distances of its features are called. Default FID. */
  readonly frechetName?: string;
  /** Opens a model for the samples; without it a model is an error. */
  readonly openModel?: ((where: string) => Promise<PictureSource>) | undefined;
  /** Opens what decodes latents; without it latents are an error. Released with their pictures. */
  readonly openDecoder?: (latents: StoredLatents) => Promise<EvaluationDecoder>;
  /** The autoencoder that the user names, which would be in vain where nothing is of latents. */
  readonly autoencoder?: string | undefined;
  readonly resize?: ResizeRule | undefined;
  /** Crops and scales the pictures of a reference folder to the size of the samples, as a training sees them. */
  readonly cropReference?: boolean | undefined;
  readonly k?: number;
  readonly split?: number;
  /** Writes a sheet of samples and their nearest pictures of the reference, as PNG. */
  readonly sheet?: string | undefined;
  /** Writes precision against recall for several numbers of neighbours. */
  readonly plot?: { readonly stem: string; readonly formats: readonly ('.svg' | '.png')[] } | undefined;
  /** Writes the statistics of the reference into a file. */
  readonly saveStatistics?: string | undefined;
  /** Where extracted features are kept. Default: the cache; null keeps nothing. */
  readonly folder?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (side: string, done: number, total: number) => void;
}

export interface EvaluatedSide {
  readonly name: string;
  readonly kind: PictureSource['kind'] | 'statistics';
  readonly count: number | undefined;
  /** SHA-256 of its pictures. */
  readonly hash: string | undefined;
  readonly classes?: string | undefined;
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface Evaluation {
  readonly scores: readonly Score[];
  /** Metrics that could not be computed, with the reason. */
  readonly omitted: readonly (readonly [MetricName, string])[];
  /** What speaks against the scores. */
  readonly doubts: readonly string[];
  readonly reference: EvaluatedSide;
  readonly samples: EvaluatedSide;
  /** What every score depends on beside the pictures. Scores of different ones are not compared. */
  readonly provenance: Readonly<Record<string, unknown>>;
}

/**
 * @throws DataError if pictures cannot be read
 * @throws ConfigError if the sides cannot be compared
 */
export async function evaluate(request: EvaluationRequest): Promise<Evaluation> {
  const { extractor, metrics, backend } = request;
  const samples = await openPictures(request.samples, request);
  const open: { close(): Promise<void> }[] = [samples];
  let network: Extractor | undefined;
  const { product, release } = runtimeProduct(backend, request.threads);
  try {
    const reference = await openReference(request, samples.size);
    if (reference.pictures) open.push(reference.pictures);
    const compared = reference.pictures ? atSizeOf(reference.pictures, samples, request.resize) : samples;
    expectWritable(request, samples, reference.pictures);
    expectUsed(request.autoencoder, [reference.pictures, samples]);
    network = extractor && (await createExtractor(extractor.saved, compared.size, request));
    const isDrawn = request.sheet !== undefined || request.plot !== undefined;
    const collectSide = (source: PictureSource) =>
      collect(source, {
        extractor: network && { identity: extractor!.identity, network },
        patches: metrics.includes('swd'),
        rows: isDrawn || metrics.some(needsRows),
        // Of the reference nobody asks how good its classes are.
        classes:
          metrics.includes('is') && source === compared
            ? (count, classes) => classSums(count, classes, request.split)
            : undefined,
        folder: request.folder,
        signal: request.signal,
        onProgress: (done, total) => request.onProgress?.(source.name, done, total),
      });
    const real = reference.pictures && (await collectSide(reference.pictures));
    const drawn = await collectSide(compared);
    await network?.release(); // metrics of pairs need the memory
    const realSource = reference.pictures ?? { name: request.reference, doubts: [] };
    const sides = [
      sideOf(request.reference, real, reference.stored),
      sideOf(request.samples, drawn, undefined),
    ] as const;
    const doubts = doubtsAbout(
      { source: realSource, seen: real },
      { source: compared, seen: drawn },
      metrics,
      network?.widths.get('features') ?? 0,
    );
    if (request.saveStatistics !== undefined) await saveStatistics(request, real!);
    if (request.sheet !== undefined) {
      const image = await neighbourSheet(
        { source: reference.pictures!, features: real!.features! },
        { source: compared, features: drawn.features! },
        { product, block: blockFor(real!.count) },
      );
      await writePng(request.sheet, image);
    }
    if (request.plot !== undefined) {
      const [block, k] = [blockFor(Math.max(real!.count, drawn.count)), request.k];
      const svg = await manifoldPlot(
        { name: request.reference, features: real!.features! },
        { name: request.samples, features: drawn.features! },
        { product, block, ...(k === undefined ? {} : { k }) },
      );
      await writeDrawing(request.plot.stem, svg, request.plot.formats);
    }
    const found = await scoresOf(...sides, { ...request, product });
    return {
      ...found,
      doubts,
      reference: evaluatedSide(request.reference, reference.pictures, real, reference.stored),
      samples: evaluatedSide(request.samples, compared, drawn, undefined),
      provenance: {
        extractor: extractor?.identity ?? null,
        ...{ k: request.k ?? 3, split: request.split ?? 5000, resize: request.resize ?? null, version },
      },
    };
  } finally {
    await network?.release();
    await release();
    for (const source of open) await source.close();
  }
}

interface Reference {
  readonly pictures: PictureSource | undefined;
  /** Statistics that are used in place of those of its pictures. */
  readonly stored: StoredStatistics | undefined;
}

async function openReference(request: EvaluationRequest, size: ImageSize): Promise<Reference> {
  const { reference, extractor } = request;
  if (request.cropReference === true) {
    expectFolder(reference);
    return { pictures: await openPictureFolder(reference, size), stored: undefined };
  }
  if (isEmojiKind(reference) && !existsSync(reference)) {
    return { pictures: await openDataSet(reference, size), stored: undefined };
  }
  if (reference.endsWith('.safetensors') && existsSync(reference)) {
    if (extractor === undefined) {
      throw new ConfigError({
        where: reference,
        problem: 'statistics of features cannot be compared without a network for the samples',
        fix: 'name the network with --extractor',
      });
    }
    return { pictures: undefined, stored: await readStatistics(reference, extractor.identity) };
  }
  if (!reference.endsWith('.npz') || !existsSync(reference)) {
    return {
      pictures: await openPictures(reference, { ...request, openModel: undefined }),
      stored: undefined,
    };
  }
  const stored = await readAdmStatistics(reference);
  // A batch of ADM may have statistics alone.
  const pictures = await openPictures(reference, { ...request, openModel: undefined }).catch(
    (error: unknown) => {
      if (stored === undefined) throw error;
      return undefined;
    },
  );
  return { pictures, stored };
}

async function openPictures(
  where: string,
  { openModel, openDecoder }: Pick<EvaluationRequest, 'openModel' | 'openDecoder'>,
): Promise<PictureSource> {
  const latents = await openStoredLatents(where);
  if (latents !== undefined) return decoded(latents, openDecoder);
  const found = statSync(where, { throwIfNoEntry: false });
  if (found?.isDirectory() && !isRun(where)) return openPictureFolder(where);
  if (where.endsWith('.npz') && found !== undefined) return openArchive(where);
  if (found === undefined && isEmojiKind(where)) {
    throw new ConfigError({
      where,
      problem: 'a data set is drawn at the size of the samples, so it cannot be the samples',
      fix: 'give it as the reference, which is the first argument',
    });
  }
  if (openModel !== undefined) return openModel(where);
  throw new DataError({
    where,
    problem:
      found === undefined
        ? 'there is no such folder, archive or data set'
        : 'this is no picture folder and no archive',
    fix: 'give a folder of pictures, an .npz archive with arr_0, or emoji',
    absent: found === undefined,
  });
}

async function decoded(
  latents: StoredLatents,
  openDecoder: EvaluationRequest['openDecoder'],
): Promise<PictureSource> {
  try {
    if (openDecoder !== undefined) return decodedPictures(latents, await openDecoder(latents));
    throw new ConfigError({
      where: latents.name,
      problem: 'it holds latents, which are no pictures',
      fix: 'name the autoencoder that decodes them',
    });
  } catch (error) {
    await latents.close();
    throw error;
  }
}

/** @throws ConfigError if there are no pictures in files of their own */
function expectFolder(reference: string): void {
  if (statSync(reference, { throwIfNoEntry: false })?.isDirectory() && !isRun(reference)) return;
  throw new ConfigError({
    where: '--crop-reference',
    problem: `${reference} is no folder of pictures`,
    fix: 'leave it out: what archives, statistics and data sets hold has one size',
  });
}

/** Does the folder of a run, or of checkpoints, lie there? */
function isRun(folder: string): boolean {
  return (
    existsSync(join(folder, 'checkpoints')) ||
    readdirSync(folder).some((name) => name.endsWith('.safetensors'))
  );
}

function sideOf(name: string, collected: Collected | undefined, stored: StoredStatistics | undefined): Side {
  const own = collected ? statisticsOf(collected.moments) : new Map();
  return {
    name,
    count: collected?.count ?? stored?.count ?? 0,
    features: collected?.features,
    classes: collected?.classes,
    patches: collected?.patches,
    statistics: new Map([...own, ...(stored?.statistics ?? [])]),
  };
}

/**
 * Before anything is drawn.
 *
 * @throws ConfigError if a file that is asked for cannot be written of these sides
 */
function expectWritable(
  { sheet, plot, saveStatistics, reference, extractor }: EvaluationRequest,
  samples: PictureSource,
  real: PictureSource | undefined,
): void {
  const files = { '--save-statistics': saveStatistics, '--sheet': sheet, '--plot': plot };
  const [flag] = Object.entries(files).find(([, file]) => file !== undefined) ?? [];
  if (flag === undefined) return;
  if (real === undefined || extractor === undefined) {
    throw new ConfigError({
      where: flag,
      problem:
        real === undefined
          ? `${reference} has no pictures`
          : 'there is no network that describes the pictures',
      fix: 'give pictures as the reference, and a network',
    });
  }
  if (sheet !== undefined && samples.kind === 'model') {
    throw new ConfigError({
      where: '--sheet',
      problem: `${samples.name} is a model, whose pictures are not kept`,
      fix: `draw an archive with ${uditCommand('sample', samples.name, '--npz')}, and evaluate that`,
    });
  }
}

/** @throws ConfigError if there is an autoencoder, and nothing that it decodes */
function expectUsed(autoencoder: string | undefined, sides: readonly (PictureSource | undefined)[]): void {
  if (autoencoder === undefined || sides.some((side) => side?.provenance.decoder !== undefined)) return;
  throw new ConfigError({
    where: '--autoencoder',
    problem: `neither side is of latents, so ${autoencoder} decodes nothing`,
    fix: 'leave --autoencoder out',
  });
}

async function saveStatistics(
  { saveStatistics: path, reference, extractor }: EvaluationRequest,
  { moments, count, hash }: Collected,
): Promise<void> {
  const statistics = statisticsOf(moments);
  if (statistics.size === 0) {
    throw new ConfigError({
      where: '--save-statistics',
      problem: `${reference} has ${plural(count, 'picture')}, of which there is no covariance`,
      fix: 'give at least two pictures as the reference',
    });
  }
  await writeStatistics(path!, { statistics, extractor: extractor!.identity, count, hash });
}

function evaluatedSide(
  name: string,
  source: PictureSource | undefined,
  collected: Collected | undefined,
  stored: StoredStatistics | undefined,
): EvaluatedSide {
  return {
    name,
    kind: source?.kind ?? 'statistics',
    count: collected?.count ?? stored?.count,
    hash: collected?.hash ?? stored?.hash,
    classes: describeClasses(source?.labels),
    provenance: {
      ...source?.provenance,
      ...(stored && source ? { statistics: 'as stored in the archive' } : {}),
    },
  };
}
