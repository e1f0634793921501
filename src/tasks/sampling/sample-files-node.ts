/** @file Draws pictures into a folder: a PNG file each, a labelled sheet, and NumPy's archive for metrics. */
import { join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { type LockHolder, withLock } from '../../host/files/lock-file-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { type ClassList, className, classSlugs } from './classes.ts';
import { drawOfImages, imagesPerClass, shuffled, type WantedImage } from './draw.ts';
import type { Pipeline } from './pipeline.ts';
import type { StepProgress } from './sample.ts';
import { ArchiveFile } from './sinks/archive-file-node.ts';
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
  /** What the pictures depend on beside the sampler's settings, as JSON: the weights above all. */
  readonly origin?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: StepProgress) => void;
  /** Told once that so many pictures are in the archive already. Of these, previews know nothing. */
  readonly onResume?: (found: number) => void;
}

export interface SampleFiles {
  /** In the order in which they were drawn, which is that of the archive. */
  readonly images: readonly DrawnImage[];
  /** Contact sheet of the first pictures of each class. */
  readonly gridPath?: string;
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
 * they are drawn, whole or not at all. An archive has its classes mixed, since scores of its parts in turn expect a fair
 * sample in each; where a killed run left a part of one, the same request goes on with it.
 *
 * @throws DataError if the folder cannot be written, or has no room for the archive
 * @throws ConfigError if another request has begun the archive
 */
export async function drawToFolder(request: SampleFilesRequest): Promise<SampleFiles> {
  const { pipeline, labels, count, seed, folder, signal } = request;
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
  if (request.previews) expectStepCount(pipeline);
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const inClasses = imagesPerClass(labels, count);
  const wanted = npz ? shuffled(inClasses, seed) : inClasses;
  const content = { ...request, png, wanted };
  if (!npz) return drawFiles(content, undefined);
  const name = [wanted.length, ...pipeline.pictureShape].join('x');
  const path = join(folder, `${isLatent ? 'latents' : 'samples'}_${name}.npz`);
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
  /** All pictures, in the order in which they are drawn. */
  readonly wanted: readonly WantedImage[];
}

async function drawFiles(content: FilesContent, archivePath: string | undefined): Promise<SampleFiles> {
  const { pipeline, classes, wanted, seed, signal, onStep, onResume } = content;
  const draw = drawOfImages(wanted, classes.numClasses);
  const archive =
    archivePath === undefined ? undefined : await openArchive(archivePath, content, draw.labels);
  const found = archive?.found ?? 0;
  if (found > 0) onResume?.(found);
  const paths = content.png ? imagePaths(content) : undefined;
  const { png, grid, previews } = pictureSinks(content, paths);
  const sinks = [png, grid, previews, archive].filter((sink) => sink !== undefined);
  const began = performance.now();
  const results = await drawInto(goingOn(pipeline, archive), { ...draw, seed, signal, onStep }, sinks);
  const pathOf = (sink: Sink | undefined) =>
    sink === undefined ? undefined : results[sinks.indexOf(sink)]!.paths[0];
  return {
    images: wanted.map((image, i) => ({
      class: className(classes, image.label),
      ...image,
      ...(paths === undefined ? {} : { path: paths[i]! }),
    })),
    ...withPath('gridPath', pathOf(grid)),
    ...withPath('previewsPath', pathOf(previews)),
    ...withPath('npzPath', pathOf(archive)),
    found,
    elapsedMs: performance.now() - began,
  };
}

function openArchive(
  path: string,
  { pipeline, labels, count, seed, origin }: FilesContent,
  drawnLabels: readonly number[],
): Promise<ArchiveFile> {
  const { settings, precision, batchSize, threads } = pipeline.sampler;
  const { space, pictureShape } = pipeline;
  return ArchiveFile.open(path, {
    dtype: space.kind === 'pixels' ? 'u8' : 'f32',
    pictureShape,
    labels: drawnLabels,
    facts: { ...origin, classes: labels, count, seed, ...settings, precision, batchSize, threads },
  });
}

/** What an archive has already is read from it, and only the rest is drawn. */
function goingOn(pipeline: Pipeline, archive: ArchiveFile | undefined): Pick<Pipeline, 'pictures'> {
  if (archive === undefined) return pipeline;
  return {
    async *pictures(request) {
      yield* archive.earlier(pipeline.sampler.batchSize);
      yield* pipeline.pictures({ ...request, from: archive.found });
    },
  };
}

/** PNG files, the sheet and the previews, as far as they are asked for. */
function pictureSinks(content: FilesContent, paths: readonly string[] | undefined) {
  const { pipeline, classes, labels, count, folder, wanted } = content;
  const rowLabels = labels.slice(0, MOST_ROWS).map((label) => className(classes, label));
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
    png: paths && pngFiles(paths),
    grid:
      paths && sheetFile(join(folder, 'grid.png'), { rows: rowLabels.length, columns, rowLabels, cellOf }),
    previews: content.previews
      ? previewsFile(join(folder, 'previews.png'), {
          stepCount: expectStepCount(pipeline),
          rowLabels,
          rowOf,
        })
      : undefined,
  };
}

function withPath<K extends string>(key: K, path: string | undefined): { readonly [P in K]?: string } {
  return (path === undefined ? {} : { [key]: path }) as { readonly [P in K]?: string };
}

function imagePaths({ classes, seed, folder, wanted }: FilesContent): string[] {
  const slugs = classSlugs(classes);
  return wanted.map(({ label, index }) => join(folder, `${slugs[label]}-${seed}-${index}.png`));
}

function expectStepCount({ sampler: { stepCount, settings } }: Pipeline): number {
  if (stepCount !== undefined) return stepCount;
  throw new ConfigError({
    where: '--previews',
    problem: `${settings.sampler} has adaptive steps, but each column of the previews is one of the given steps`,
    fix: 'leave --previews out, or use a sampler with given steps such as heun',
  });
}
