/** @file What `udit sample` prints about what it draws. */
import { plural } from '../charts/format.ts';
import { formatBytes } from '../core/byte-size.ts';
import { formatImageSize, type ImageSize, sameSize } from '../core/image-size.ts';
import type { ImageSpace } from '../core/image-space.ts';
import { printableLine } from '../core/printable.ts';
import type { BackendName } from '../engine/runtime/session.ts';
import type { SavedModel } from '../models/saved-model.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import type { PreviewDecoder } from '../tasks/sampling/latent-colours.ts';
import type { CompiledDecoder } from '../tasks/sampling/latent-decoder.ts';
import type { ImageSampler } from '../tasks/sampling/sample.ts';
import type { SampleFiles } from '../tasks/sampling/sample-files-node.ts';
import type { GuidanceInterval } from '../tasks/sampling/settings.ts';
import type { WayFiles, Ways } from '../tasks/sampling/way-files-node.ts';
import { modelLines, shortest } from './wording.ts';

export interface DrawnSamples {
  readonly saved: Omit<SavedModel, 'weights'>;
  /** The checkpoint's file. */
  readonly path: string;
  readonly sampler: ImageSampler;
  /** What is written. */
  readonly space: ImageSpace;
  /** What decodes latents. */
  readonly autoencoder?: CompiledDecoder | undefined;
  /** What shows previews of latents. */
  readonly previewDecoder?: PreviewDecoder | undefined;
  readonly device: BackendName;
  /** Files of what drawing begins with. */
  readonly init?: { readonly image: string; readonly mask?: string | undefined } | undefined;
  /** Where pictures are drawn on the way from one to another. */
  readonly ways?: Ways | undefined;
  readonly imageCount: number;
  readonly seed: number;
  readonly folder: string;
  readonly reached: { readonly meanNfe: number };
}

/** Which model draws, and how: three lines, and after the first what was found out about a file of another program. */
export function describeStart(drawn: DrawnSamples): string {
  const { saved, path, sampler, autoencoder, init, ways, device, imageCount, seed } = drawn;
  const { settings, precision, workers, threads } = sampler;
  return (
    modelLines(saved, path) +
    `${plural(imageCount, nounOf(drawn))}${atOtherSize(drawn)} by ${settings.sampler}, ${stepsOf(sampler)}, ` +
    `cfg scale ${settings.cfgScale}${during(settings.cfgInterval)}, seed ${seed}${precision === 'f32' ? '' : `, ${precision}`}\n` +
    (init === undefined
      ? ''
      : `begun with ${shortest(init.image)} at strength ${sampler.strength}${init.mask === undefined ? '' : `, anew where ${shortest(init.mask)} is white`}\n`) +
    (ways === undefined ? '' : describeTheirEnds(ways)) +
    (autoencoder === undefined ? '' : describeDecoder(autoencoder)) +
    `${device === 'cpu' ? '' : `${device}, `}${plural(workers, 'worker')} of ${plural(threads, 'thread')}, batches of ${sampler.batchSize}, ` +
    `at most ${formatBytes(sampler.memoryPerWorker)} each\n`
  );
}

function describeTheirEnds({ ways, pictures, toSeed }: Ways): string {
  const end = toSeed === undefined ? 'the noise stays' : `to seed ${toSeed}`;
  return `${plural(ways.length, 'way')} of ${pictures} pictures, ${end}\n`;
}

function describeDecoder({ name, tileSize, isExact, isTiled, memory }: CompiledDecoder): string {
  const tiles = isTiled ? ` in tiles of ${formatImageSize(tileSize)}${isExact ? '' : ', blended'}` : '';
  return `latents decoded by ${name}${tiles}, at most ${formatBytes(memory)} each beside its weights\n`;
}

/** Where the files are and what one took. */
export function describeResult(drawn: DrawnSamples, files: SampleFiles): string {
  const { sampler, previewDecoder, imageCount, folder, reached } = drawn;
  const lines = [
    `${plural(imageCount, nounOf(drawn))} in ${shortest(folder)}, ${secondsPerImage(files).toFixed(2)} s each` +
      (sampler.nfe === undefined ? `, ${reached.meanNfe.toFixed(1)} evaluations of the network` : ''),
  ];
  if (files.gridPath !== undefined) lines.push(`grid     ${shortest(files.gridPath)}`);
  if (files.gridLegend !== undefined) lines.push(`         ${printableLine(files.gridLegend)}`);
  if (files.previewsPath !== undefined) {
    const how = previewDecoder === undefined ? '' : `, ${previewDecoder.how}`;
    lines.push(`previews ${shortest(files.previewsPath)}${how}`);
  }
  if (files.npzPath !== undefined) lines.push(`archive  ${shortest(files.npzPath)}`);
  return `${lines.join('\n')}\n`;
}

/** Where the sheet of ways is and what a picture of it took. */
export function describeWays({ imageCount }: DrawnSamples, files: WayFiles): string {
  const { sheetPath, animationPath, elapsedMs } = files;
  const seconds = (elapsedMs / 1000 / imageCount).toFixed(2);
  const animation = animationPath === undefined ? '' : `animation ${shortest(animationPath)}\n`;
  return `${plural(imageCount, 'image')}, ${seconds} s each\nsheet     ${shortest(sheetPath)}\n${animation}`;
}

/** The same for scripts, as one JSON object. */
export function describeAsJson(drawn: DrawnSamples, files: SampleFiles): string {
  const result = {
    ...drawing(drawn),
    images: files.images,
    grid: files.gridPath ?? null,
    previews: files.previewsPath ?? null,
    npz: files.npzPath ?? null,
    secondsPerImage: secondsPerImage(files),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

/** The same of ways. */
export function describeWaysAsJson(drawn: DrawnSamples, files: WayFiles): string {
  const { ways, imageCount } = drawn;
  const result = {
    ...drawing(drawn),
    toSeed: ways?.toSeed ?? null,
    ways: ways?.ways,
    picturesPerWay: ways?.pictures,
    sheet: files.sheetPath,
    animation: files.animationPath ?? null,
    secondsPerImage: files.elapsedMs / 1000 / imageCount,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

/** What drew, and how. */
function drawing({ saved, path, sampler, autoencoder, init, device, seed, reached }: DrawnSamples) {
  const { name, step, nimg } = saved.card;
  return {
    model: name,
    checkpoint: path,
    step,
    nimg,
    weights: saved.source,
    findings: Object.fromEntries(saved.findings),
    ...(autoencoder === undefined ? {} : { autoencoder: autoencoder.name }),
    ...sampler.settings,
    nfe: sampler.nfe ?? reached.meanNfe,
    networkRuns: sampler.networkRuns ?? null,
    seed,
    ...(init === undefined
      ? {}
      : { initImage: init.image, strength: sampler.strength, mask: init.mask ?? null }),
    device,
    precision: sampler.precision,
    batchSize: sampler.batchSize,
    workers: sampler.workers,
    threads: sampler.threads,
    memoryPerWorker: sampler.memoryPerWorker,
    size: sizeOf(sampler),
  };
}

/** Of those that this run has drawn. */
function secondsPerImage({ elapsedMs, images, found }: SampleFiles): number {
  return elapsedMs / 1000 / Math.max(1, images.length - found);
}

function sizeOf({ imageShape }: ImageSampler): ImageSize {
  return { height: imageShape[1]!, width: imageShape[2]! };
}

function atOtherSize({ saved, sampler }: DrawnSamples): string {
  const size = sizeOf(sampler);
  return sameSize(size, trainedSizeOf(saved.network.config)) ? '' : ` of ${formatImageSize(size)}`;
}

function stepsOf({ stepCount }: ImageSampler): string {
  return stepCount === undefined ? 'steps chosen on the way' : plural(stepCount, 'step');
}

function nounOf({ space }: DrawnSamples): string {
  return space.kind === 'pixels' ? 'image' : 'latent';
}

function during(interval: GuidanceInterval | undefined): string {
  return interval === undefined ? '' : ` at times ${interval.join(' to ')}`;
}
