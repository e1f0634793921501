/** @file Draws pictures into a folder: a PNG file each, a labelled sheet, and NumPy's archive for metrics. */
import { join } from 'node:path';
import { formatBytes } from '../../core/byte-size.ts';
import { ConfigError, DataError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import { classLabel, sheetLegend } from '../../data/images/sheet.ts';
import { type LockHolder, withLock } from '../../host/files/lock-file-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { freeBytes } from '../../host/files/write-error-node.ts';
import { BatchPlan, type Part, type PlannedBatch, WHOLE } from './batch-plan.ts';
import { type ClassList, className, classSlugs } from './classes.ts';
import { drawOfImages, imagesPerClass, shuffled, type WantedImage } from './draw.ts';
import { type EarlierPictures, findEarlier, noteOf } from './earlier-pictures-node.ts';
import { expectNoise } from './image-noise.ts';
import { expectInit, type InitImage } from './init-image.ts';
import type { LatentDecoder, PictureBatch, Pipeline } from './pipeline.ts';
import type { SampleRequest, StepProgress } from './sample.ts';
import { GRID_FILE, PREVIEWS_FILE } from './sheet-names.ts';
import type { FoundPictures } from './sinks/found-pictures.ts';
import { pngFiles } from './sinks/png-files-node.ts';
import { MOST_COLUMNS, MOST_ROWS } from './sinks/sheet.ts';
import { previewsFile, sheetFile } from './sinks/sheet-file-node.ts';
import { drawInto, type Sink } from './sinks/sink.ts';

// N pictures in all · C H W picture or latent

export interface SampleFilesRequest {
  readonly pipeline: Pipeline;
  readonly classes: ClassList;
  /** The classes to draw: a row of the sheet each. */
  readonly labels: readonly number[];
  /** Pictures per class. */
  readonly count: number;
  readonly seed: number;
  readonly folder: string;
  /** Write `{class}-{seed}-{i}.png` and `grid.png`? Not of latents. */
  readonly png: boolean;
  /** Write `samples_{N}x{H}x{W}x{C}.npz`? Of latents `latents_{N}x{C}x{H}x{W}.npz` is always written. */
  readonly npz: boolean;
  /** Write `previews.png`? */
  readonly previews?: boolean;
  /** Decodes previews of latents. */
  readonly decoder?: LatentDecoder | undefined;
  /** The part to draw: PNG files without a sheet, and an archive of its own, which the request for the whole joins. */
  readonly part?: Part | undefined;
  /** What the pictures start from, `f32[N,C,H,W]`, class after class. Default: noise of the seed. */
  readonly noise?: HostTensor<'f32'> | undefined;
  /** What all pictures begin with, at the sampler's strength. Default: noise alone. */
  readonly init?: InitImage | undefined;
  /** What the pictures depend on beside the sampler's settings, as JSON: the weights above all. */
  readonly origin?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: StepProgress) => void;
  /** Told once that so many pictures, in so many batches, are there already. Of these, previews know nothing. */
  readonly onResume?: (found: number, batches: number) => void;
}

export interface SampleFiles {
  /** Of the part, in the order in which they were drawn, which is that of the archive. */
  readonly images: readonly DrawnImage[];
  /** Contact sheet of the first pictures of each class. */
  readonly gridPath?: string;
  /** The names of classes that the sheet has numbers for, in one line. */
  readonly gridLegend?: string;
  /** Contact sheet of what the network saw in the first picture of each class, step by step. */
  readonly previewsPath?: string;
  readonly npzPath?: string;
  /** Pictures that an earlier run had drawn. */
  readonly found: number;
  /** Time taken to draw the others, and to write. */
  readonly elapsedMs: number;
}

export interface DrawnImage extends WantedImage {
  readonly class: string;
  readonly path?: string;
}

/**
 * Each picture depends on model, settings, seed, class and its number in the class alone. Files are written as soon as
 * they are drawn, whole or not at all. The same request draws only what is missing: what a killed run, an earlier one, or
 * other machines in archives of parts have left in the folder is taken as it is. An archive has its classes mixed, since
 * scores of its parts in turn expect a fair sample in each; with noise of the caller it has the order of the noise.
 *
 * @throws DataError if the folder cannot be written, has no room for the files, or an archive of a part is damaged
 * @throws ConfigError if another request has begun the archive or one of its parts
 */
export async function drawToFolder(request: SampleFilesRequest): Promise<SampleFiles> {
  const { pipeline, labels, count, seed, folder, signal, noise } = request;
  const isLatent = pipeline.space.kind === 'latents';
  const png = request.png && !isLatent;
  const npz = request.npz || isLatent;
  if (!png && !npz) {
    throw new ConfigError({
      where: '--no-png',
      problem: 'nothing would be written: neither PNG files nor an .npz archive',
      fix: 'add --npz, or leave --no-png out',
    });
  }
  if (request.previews) expectPreviews(request);
  const inClasses = imagesPerClass(labels, count);
  if (noise !== undefined) expectNoise(noise, [inClasses.length, ...pipeline.sampler.imageShape], '--noise');
  expectInit(request.init, pipeline.sampler, '--init-image');
  const wanted = npz && noise === undefined ? shuffled(inClasses, seed) : inClasses;
  const { part = WHOLE } = request;
  const batches = new BatchPlan(wanted.length, pipeline.sampler.batchSize).batchesOf(part);
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const content = { ...request, png, wanted, part, batches };
  if (!npz) return drawFiles(content, undefined);
  const path = archivePath(content, part);
  const onWait = ({ processId, host }: LockHolder): void => {
    throw new ConfigError({
      where: path,
      problem: `process ${processId} of ${host} is writing it`,
      fix: 'wait until it has ended, or choose another folder with --out',
    });
  };
  return withLock(`${path}.lock`, { signal, onWait }, () => drawFiles(content, path));
}

interface FilesContent extends SampleFilesRequest {
  /** All pictures of all parts, in the order in which they are drawn. */
  readonly wanted: readonly WantedImage[];
  readonly part: Part;
  /** Of the part. */
  readonly batches: readonly PlannedBatch[];
}

function archivePath({ pipeline, folder, wanted }: FilesContent, { number, parts }: Part): string {
  const shape = [wanted.length, ...pipeline.pictureShape].join('x');
  const part = parts === 1 ? '' : `.part-${number}-of-${parts}`;
  return join(folder, `${pipeline.space.kind === 'latents' ? 'latents' : 'samples'}_${shape}${part}.npz`);
}

async function drawFiles(content: FilesContent, archivePath: string | undefined): Promise<SampleFiles> {
  const { classes, wanted, batches, seed, noise, init, signal, onStep, onResume } = content;
  const draw = drawOfImages(wanted, classes.numClasses);
  const paths = content.png ? imagePaths(content) : undefined;
  const found = await findEarlier(content, archivePath, paths);
  try {
    const drawn = batches.filter(({ first, count }) => found.of(first, count) === undefined);
    const missing = imagesIn(drawn);
    const total = imagesIn(batches);
    if (missing < total) onResume?.(total - missing, batches.length - drawn.length);
    if (paths !== undefined) await expectRoomForPng(content, missing);
    const { png, grid, previews } = pictureSinks(content, paths, found.png);
    const sinks = [png, grid, previews, found.archive].filter((sink) => sink !== undefined);
    const began = performance.now();
    const asked = { ...draw, seed, noise, init, signal, onStep };
    const results = await drawInto({ pictures: (each) => goingOn(content, found, each) }, asked, sinks);
    const pathOf = (sink: Sink | undefined) =>
      sink === undefined ? undefined : results[sinks.indexOf(sink)]!.paths[0];
    return {
      images: positionsOf(batches).map((at) => ({
        class: className(classes, wanted[at]!.label),
        ...wanted[at]!,
        ...(paths === undefined ? {} : { path: paths[at]! }),
      })),
      ...withText('gridPath', pathOf(grid)),
      ...withText('gridLegend', grid && sheetLegend(sheetRows(content))),
      ...withText('previewsPath', pathOf(previews)),
      ...withText('npzPath', archivePath),
      found: total - missing,
      elapsedMs: performance.now() - began,
    };
  } finally {
    await found.close();
  }
}

function imagesIn(batches: readonly PlannedBatch[]): number {
  return batches.reduce((sum, { count }) => sum + count, 0);
}

function positionsOf(batches: readonly PlannedBatch[]): number[] {
  return batches.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
}

/** What is there already is read, where somebody needs it, and only the rest is drawn. */
async function* goingOn(
  content: FilesContent,
  found: EarlierPictures,
  request: SampleRequest,
): AsyncGenerator<PictureBatch> {
  const { pipeline, batches, wanted, png } = content;
  /** By the sheet, or by a PNG file that is not there. */
  const isAskedFor = (source: FoundPictures, first: number, count: number): boolean =>
    source !== found.png || wanted.slice(first, first + count).some(({ index }) => index < MOST_COLUMNS);
  const own = new Set(batches.map(({ first }) => first));
  const drawn = pipeline.pictures({
    ...request,
    isNeeded: ({ first, count }) => own.has(first) && found.of(first, count) === undefined,
  });
  try {
    for (const { first, count } of batches) {
      const source = found.of(first, count);
      if (source === undefined) {
        const next = await drawn.next();
        if (next.done !== true) yield next.value;
      } else if (found.archive !== undefined || (png && isAskedFor(source, first, count))) {
        request.signal?.throwIfAborted();
        const labels = wanted.slice(first, first + count).map(({ label }) => label);
        yield { first, labels, pictures: await source.read(first, count) };
      }
    }
  } finally {
    await drawn.return(undefined);
  }
}

/** PNG files, the sheet and the previews, as far as they are asked for. */
function pictureSinks(
  content: FilesContent,
  paths: readonly string[] | undefined,
  found: FoundPictures | undefined,
) {
  const { pipeline, labels, count, folder, wanted, part } = content;
  const rowLabels = sheetRows(content).map(({ name, label }) => classLabel(name, label));
  const rows = new Map(labels.slice(0, MOST_ROWS).map((label, row) => [label, row]));
  const columns = Math.min(count, MOST_COLUMNS);
  const cellOf = (position: number): number | undefined => {
    const { label, index } = wanted[position]!;
    const row = rows.get(label);
    return row === undefined || index >= columns ? undefined : row * columns + index;
  };
  const rowOf = (position: number): number | undefined => {
    const { label, index } = wanted[position]!;
    return index === 0 ? rows.get(label) : undefined;
  };
  return {
    png: paths && pngFiles(paths, { found, noteOf: (position) => noteOf(content, position) }),
    grid:
      paths && part.parts === 1
        ? sheetFile(join(folder, GRID_FILE), { rows: rowLabels.length, columns, rowLabels, cellOf })
        : undefined,
    previews: content.previews
      ? previewsFile(join(folder, PREVIEWS_FILE), {
          stepCount: pipeline.sampler.stepCount!,
          rowLabels,
          rowOf,
          decoder: content.decoder,
        })
      : undefined,
  };
}

function sheetRows({ classes, labels }: FilesContent) {
  return labels.slice(0, MOST_ROWS).map((label) => ({ name: className(classes, label), label }));
}

function withText<K extends string>(key: K, text: string | undefined): { readonly [P in K]?: string } {
  return (text === undefined ? {} : { [key]: text }) as { readonly [P in K]?: string };
}

function imagePaths({ classes, seed, folder, wanted }: FilesContent): string[] {
  const slugs = classSlugs(classes);
  return wanted.map(({ label, index }) => join(folder, `${slugs[label]}-${seed}-${index}.png`));
}

function expectPreviews({ pipeline: { sampler }, part = WHOLE }: SampleFilesRequest): void {
  const where = '--previews';
  if (part.parts > 1) {
    const problem = 'a part of the pictures has no sheet';
    throw new ConfigError({ where, problem, fix: 'leave --previews out, or draw all at once' });
  }
  if (sampler.stepCount !== undefined) return;
  throw new ConfigError({
    where,
    problem: `${sampler.settings.sampler} has adaptive steps, but each column of the previews is one of the given steps`,
    fix: 'leave --previews out, or use a sampler with given steps such as heun',
  });
}

/** Hardly a picture takes less of its raw size. */
const PNG_SHARE = 1 / 4;

/** What pictures take at least in the files that are asked for. Latents are written as f32. */
export function leastBytes(
  pictures: number,
  pictureShape: Shape,
  { png, npz, isLatent }: { readonly png: boolean; readonly npz: boolean; readonly isLatent: boolean },
): number {
  const values = pictures * sizeOf(pictureShape);
  if (isLatent) return values * Float32Array.BYTES_PER_ELEMENT;
  return Math.ceil(values * ((png ? PNG_SHARE : 0) + (npz ? 1 : 0)));
}

/** @throws DataError if the disk has no room for so many more PNG files */
async function expectRoomForPng({ folder, pipeline }: FilesContent, missing: number): Promise<void> {
  const needed = leastBytes(missing, pipeline.pictureShape, { png: true, npz: false, isLatent: false });
  const free = await freeBytes(folder);
  if (free === undefined || free >= needed) return;
  throw new DataError({
    where: folder,
    problem: `${missing} PNG files need at least ${formatBytes(needed)}, ${formatBytes(free)} are free`,
    fix: 'free some space, or choose another folder with --out',
  });
}
