/** @file Draws images into a folder: a PNG file each, a labelled grid, and NumPy's archive for metrics. */
import { join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, zeros } from '../../core/host-tensor.ts';
import { imageAt, toPixels } from '../../data/images/pixels.ts';
import { writeGrid, writePng } from '../../data/images/png-node.ts';
import { serialiseNpz, UNNAMED_ARRAY } from '../../formats/npz.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { type ClassList, className, classSlugs } from './classes.ts';
import type { ImageSampler, SampleRequest, StepProgress } from './sample.ts';
import { PreviewSheet, Sheet } from './sheets.ts';

// N images in all · H W C picture

export interface SampleFilesRequest {
  readonly sampler: ImageSampler;
  readonly classes: ClassList;
  /** The classes to draw: a row of the grid each. */
  readonly labels: readonly number[];
  /** Images per class. */
  readonly count: number;
  readonly seed: number;
  readonly folder: string;
  /** Write `{class}-{seed}-{i}.png` and `grid.png`? */
  readonly png: boolean;
  /** Write `samples_{N}x{H}x{W}x{C}.npz`? */
  readonly npz: boolean;
  /** Write `previews.png`? */
  readonly previews?: boolean;
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: StepProgress) => void;
}

export interface SampleFiles {
  readonly images: readonly DrawnImage[];
  /** Contact sheet of the first images of each class. */
  readonly gridPath?: string;
  /** Contact sheet of what the network saw in the first image of each class, step by step. */
  readonly previewsPath?: string;
  readonly npzPath?: string;
  /** Time taken to draw and write. */
  readonly elapsedMs: number;
}

export interface DrawnImage {
  readonly class: string;
  readonly label: number;
  /** Number within the class, from 0. */
  readonly index: number;
  readonly path?: string;
}

/**
 * Each image depends on model, settings, seed, class and its number in the class alone. Files are written as soon as
 * they are drawn, whole or not at all.
 *
 * @throws DataError if the folder cannot be written
 */
export async function drawToFolder(request: SampleFilesRequest): Promise<SampleFiles> {
  const { sampler, labels, count, folder, png, npz } = request;
  if (!png && !npz) {
    throw new ConfigError({
      where: '--no-png',
      problem: 'nothing would be written: neither PNG files nor an .npz archive',
      fix: 'add --npz, or leave --no-png out',
    });
  }
  const previews = request.previews ? previewSheet(request) : undefined;
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const wanted = wantedImages(labels, count);
  const paths = png ? imagePaths(request, wanted) : undefined;
  const grid = png ? new Sheet(labels.length, count) : undefined;
  let archive: HostTensor<'u8'> | undefined;
  const began = performance.now();
  const onStep = (progress: StepProgress): void => {
    previews?.add(progress);
    request.onStep?.(progress);
  };
  const batches = sampler.batches(sampleRequest({ ...request, onStep }, wanted));
  for await (const { first, images } of batches) {
    const pixels = toPixels(images);
    for (let i = 0; i < pixels.shape[0]!; i++) {
      const path = paths?.[first + i];
      if (path !== undefined) await writePng(path, imageAt(pixels, i));
      grid?.place(Math.floor((first + i) / count), (first + i) % count, pixels, i);
    }
    if (npz) {
      archive ??= zeros('u8', [wanted.length, ...pixels.shape.slice(1)]);
      archive.data.set(pixels.data, first * imageBytes(pixels));
    }
  }
  const rowLabels = labels.map((label) => className(request.classes, label));
  const gridPath = grid && (await writeSheet(join(folder, 'grid.png'), grid, rowLabels));
  const previewsPath = previews && (await writeSheet(join(folder, 'previews.png'), previews, rowLabels));
  const npzPath = archive && (await writeArchive(folder, archive));
  return {
    images: wanted.map((image, i) => ({
      class: className(request.classes, image.label),
      ...image,
      ...(paths === undefined ? {} : { path: paths[i]! }),
    })),
    ...(gridPath === undefined ? {} : { gridPath }),
    ...(previewsPath === undefined ? {} : { previewsPath }),
    ...(npzPath === undefined ? {} : { npzPath }),
    elapsedMs: performance.now() - began,
  };
}

export type WantedImage = Pick<DrawnImage, 'label' | 'index'>;

/** Class after class, `count` of each. */
export function wantedImages(labels: readonly number[], count: number): WantedImage[] {
  return labels.flatMap((label) => Array.from({ length: count }, (_, index) => ({ label, index })));
}

/** Each image gets a number of its own, whichever classes are drawn beside it. */
export function sampleRequest(
  { classes, seed, signal, onStep }: Pick<SampleFilesRequest, 'classes' | 'seed' | 'signal' | 'onStep'>,
  wanted: readonly WantedImage[],
): SampleRequest {
  return {
    labels: wanted.map(({ label }) => label),
    indices: wanted.map(({ label, index }) => index * classes.numClasses + label),
    seed,
    signal,
    onStep,
  };
}

function imagePaths({ classes, seed, folder }: SampleFilesRequest, wanted: readonly WantedImage[]): string[] {
  const slugs = classSlugs(classes);
  return wanted.map(({ label, index }) => join(folder, `${slugs[label]}-${seed}-${index}.png`));
}

function imageBytes({ shape, data }: HostTensor<'u8'>): number {
  return data.length / shape[0]!;
}

/** @returns the path, or nothing where there is nothing to show */
async function writeSheet(
  path: string,
  { images, rows, columns }: Sheet,
  rowLabels: readonly string[],
): Promise<string | undefined> {
  if (images === undefined) return undefined;
  await writeGrid(path, images, { columns, rowLabels: rowLabels.slice(0, rows) });
  return path;
}

async function writeArchive(folder: string, images: HostTensor<'u8'>): Promise<string> {
  const path = join(folder, `samples_${images.shape.join('x')}.npz`);
  const archive = serialiseNpz(new Map([[UNNAMED_ARRAY, images]]));
  await writeFileAtomic(path, [archive]);
  return path;
}

function previewSheet({ labels, count, sampler }: SampleFilesRequest): PreviewSheet {
  if (sampler.stepCount !== undefined) return new PreviewSheet(labels.length, count, sampler.stepCount);
  throw new ConfigError({
    where: '--previews',
    problem: `${sampler.settings.sampler} chooses its steps on the way, and a column is a step`,
    fix: 'leave --previews out, or use a sampler with given steps such as heun',
  });
}
