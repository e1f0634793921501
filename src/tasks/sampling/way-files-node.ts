/** @file Draws pictures on the way from one to another into a folder: as a sheet, and as an animation. */
import { join } from 'node:path';
import { classLabel } from '../../data/images/sheet.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { type ClassList, className } from './classes.ts';
import { type Draw, drawOfImages, type WantedImage } from './draw.ts';
import type { Pipeline } from './pipeline.ts';
import type { StepProgress } from './sample.ts';
import { INTERPOLATION_FILE } from './sheet-names.ts';
import { animationFile } from './sinks/animation-file-node.ts';
import { evenlySpread } from './sinks/sheet.ts';
import { sheetFile } from './sinks/sheet-file-node.ts';
import { drawInto } from './sinks/sink.ts';

/** From one picture to another. */
export interface Way {
  readonly from: WantedImage;
  readonly to: WantedImage;
}

/** Ways of equally many pictures. */
export interface Ways {
  /** A row of the sheet each. */
  readonly ways: readonly Way[];
  /** Of each way, with both ends: at least 2. */
  readonly pictures: number;
  /** Of the first pictures. */
  readonly seed: number;
  /** Of the last pictures. Default: the noise of a way's first picture stays, and only its class changes. */
  readonly toSeed?: number | undefined;
}

export interface WayFilesRequest extends Ways {
  /** Hands pictures out; mixes classes where a way leads to another one. */
  readonly pipeline: Pipeline;
  readonly classes: ClassList;
  readonly folder: string;
  /** Write `interpolation.webp` too? */
  readonly animate: boolean;
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: StepProgress) => void;
}

export interface WayFiles {
  /** Contact sheet with a row per way. */
  readonly sheetPath: string;
  /** All ways side by side, there and back. */
  readonly animationPath?: string | undefined;
  /** Time taken to draw and to write. */
  readonly elapsedMs: number;
}

/**
 * The first picture of a way is the one that `drawToFolder` draws with this seed, and so is the last one with the other seed.
 * All are drawn anew each time. The sheet shows so many of a way as there is room for, evenly spread.
 *
 * @throws DataError if the folder cannot be written
 */
export async function drawWays(request: WayFilesRequest): Promise<WayFiles> {
  const { pipeline, classes, ways, pictures, seed, toSeed, folder, animate, signal, onStep } = request;
  await makeFolder(folder, { fix: 'choose another folder with --out' });
  const places = ways.flatMap((way) =>
    Array.from({ length: pictures }, (_, at) => ({ way, weight: at / (pictures - 1) })),
  );
  const drawOf = (end: keyof Way): Draw =>
    drawOfImages(
      places.map(({ way }) => way[end]),
      classes.numClasses,
    );
  const [from, to] = [drawOf('from'), drawOf('to')];
  const towards = {
    ...(toSeed === undefined ? { seed, indices: from.indices } : { seed: toSeed, indices: to.indices }),
    labels: to.labels,
    weights: places.map(({ weight }) => weight),
  };
  const path = join(folder, INTERPOLATION_FILE.sheet);
  const animationPath = animate ? join(folder, INTERPOLATION_FILE.animation) : undefined;
  const began = performance.now();
  await drawInto(pipeline, { ...from, seed, towards, signal, onStep }, [
    sheetOfWays(path, request),
    ...(animationPath === undefined
      ? []
      : [animationFile(animationPath, { pictures: ways.length, frames: pictures })]),
  ]);
  return { sheetPath: path, animationPath, elapsedMs: performance.now() - began };
}

function sheetOfWays(path: string, { ways, pictures, classes }: WayFilesRequest) {
  const shown = evenlySpread(pictures);
  const nameOf = ({ label }: WantedImage): string => classLabel(className(classes, label), label);
  return sheetFile(path, {
    rows: ways.length,
    columns: shown.length,
    rowLabels: ways.map(({ from, to }) =>
      from.label === to.label ? nameOf(from) : `${nameOf(from)} to ${nameOf(to)}`,
    ),
    cellOf: (position) => {
      const column = shown.indexOf((position % pictures) + 1);
      return column < 0 ? undefined : Math.floor(position / pictures) * shown.length + column;
    },
  });
}
