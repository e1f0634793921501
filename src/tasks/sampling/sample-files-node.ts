/** @file Draws pictures into a folder: a PNG file each, a labelled sheet, and NumPy's archive for metrics. */
import { join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { type ClassList, className, classSlugs } from './classes.ts';
import { drawOfImages, imagesPerClass, shuffled, type WantedImage } from './draw.ts';
import type { Pipeline } from './pipeline.ts';
import type { StepProgress } from './sample.ts';
import { archiveFile } from './sinks/archive-file-node.ts';
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
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: StepProgress) => void;
}

export interface SampleFiles {
  /** In the order in which they were drawn, which is that of the archive. */
  readonly images: readonly DrawnImage[];
  /** Contact sheet of the first pictures of each class. */
  readonly gridPath?: string;
  /** Contact sheet of what the network saw in the first picture of each class, step by step. */
  readonly previewsPath?: string;
  readonly npzPath?: string;
  /** Time taken to draw and write. */
  readonly elapsedMs: number;
}

export interface DrawnImage extends WantedImage {
  readonly class: string;
  readonly path?: string;
}

/**
 * Each picture depends on model, settings, seed, class and its number in the class alone. Files are written as soon as
 * they are drawn, whole or not at all. An archive has its pictures in mixed order, since scores of its parts in turn
 * expect such.
 *
 * @throws DataError if the folder cannot be written
 */
export async function drawToFolder(request: SampleFilesRequest): Promise<SampleFiles> {
  const { pipeline, classes, labels, count, seed, folder, signal, onStep } = request;
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
  const stepCount = request.previews ? expectStepCount(pipeline) : undefined;
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const inClasses = imagesPerClass(labels, count);
  const wanted = npz ? shuffled(inClasses, seed) : inClasses;
  const rowLabels = labels.slice(0, MOST_ROWS).map((label) => className(classes, label));
  const rows = new Map(labels.slice(0, MOST_ROWS).map((label, row) => [label, row]));
  const rowOf = (position: number) => rows.get(wanted[position]!.label);
  const sinks: { -readonly [K in 'png' | 'grid' | 'previews' | 'npz']?: Sink } = {};
  const paths = png ? imagePaths(request, wanted) : undefined;
  if (paths !== undefined) {
    const columns = Math.min(count, MOST_COLUMNS);
    const cellOf = (position: number): number | undefined => {
      const [row, { index }] = [rowOf(position), wanted[position]!];
      return row === undefined || index >= columns ? undefined : row * columns + index;
    };
    sinks.png = pngFiles(paths);
    sinks.grid = sheetFile(join(folder, 'grid.png'), { rows: rowLabels.length, columns, rowLabels, cellOf });
  }
  if (stepCount !== undefined) {
    const rowOfFirst = (position: number) => (wanted[position]!.index === 0 ? rowOf(position) : undefined);
    sinks.previews = previewsFile(join(folder, 'previews.png'), { stepCount, rowLabels, rowOf: rowOfFirst });
  }
  const draw = drawOfImages(wanted, classes.numClasses);
  if (npz) {
    const name = [wanted.length, ...pipeline.pictureShape].join('x');
    sinks.npz = archiveFile(join(folder, `${isLatent ? 'latents' : 'samples'}_${name}.npz`), draw.labels);
  }
  const began = performance.now();
  const results = await drawInto(pipeline, { ...draw, seed, signal, onStep }, Object.values(sinks));
  const written = new Map(Object.keys(sinks).map((name, i) => [name, results[i]!.paths[0]]));
  return {
    images: wanted.map((image, i) => ({
      class: className(classes, image.label),
      ...image,
      ...(paths === undefined ? {} : { path: paths[i]! }),
    })),
    ...withPath('gridPath', written.get('grid')),
    ...withPath('previewsPath', written.get('previews')),
    ...withPath('npzPath', written.get('npz')),
    elapsedMs: performance.now() - began,
  };
}

function withPath<K extends string>(key: K, path: string | undefined): { readonly [P in K]?: string } {
  return (path === undefined ? {} : { [key]: path }) as { readonly [P in K]?: string };
}

function imagePaths({ classes, seed, folder }: SampleFilesRequest, wanted: readonly WantedImage[]): string[] {
  const slugs = classSlugs(classes);
  return wanted.map(({ label, index }) => join(folder, `${slugs[label]}-${seed}-${index}.png`));
}

function expectStepCount({ sampler: { stepCount, settings } }: Pipeline): number {
  if (stepCount !== undefined) return stepCount;
  throw new ConfigError({
    where: '--previews',
    problem: `${settings.sampler} chooses its steps on the way, and a column is a step`,
    fix: 'leave --previews out, or use a sampler with given steps such as heun',
  });
}
