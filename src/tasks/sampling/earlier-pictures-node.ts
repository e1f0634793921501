/** @file What is there already of the pictures of a request: in an archive, in those of its parts, in PNG files. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { DataError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { BatchPlan, type Part, type PlannedBatch, WHOLE } from './batch-plan.ts';
import type { WantedImage } from './draw.ts';
import type { InitImage } from './init-image.ts';
import type { Pipeline } from './pipeline.ts';
import { ArchiveFile } from './sinks/archive-file-node.ts';
import { type ArchiveOptions, expectSameFacts, type Facts, headerOf } from './sinks/archive-form-node.ts';
import { FinishedArchive, factsOfArchive } from './sinks/finished-archive-node.ts';
import { type FoundPictures, hasAll } from './sinks/found-pictures.ts';
import { findPngFiles } from './sinks/png-files-node.ts';

/** What the pictures of a request are, and what they depend on. */
export interface PictureFacts {
  readonly pipeline: Pipeline;
  readonly labels: readonly number[];
  readonly count: number;
  readonly seed: number;
  readonly noise?: HostTensor<'f32'> | undefined;
  readonly init?: InitImage | undefined;
  readonly origin?: Facts | undefined;
  /** All pictures of all parts, in their order. */
  readonly wanted: readonly WantedImage[];
  readonly part: Part;
  /** Of the part. */
  readonly batches: readonly PlannedBatch[];
}

export interface EarlierPictures {
  /** Undefined where no archive is wanted, or where it is finished. */
  readonly archive: ArchiveFile | undefined;
  /** Of PNG files, where they are wanted. */
  readonly png: FoundPictures | undefined;
  /** Where these pictures are, all of them. */
  of(first: number, count: number): FoundPictures | undefined;
  close(): Promise<void>;
}

/**
 * @param archivePath - of the archive that is wanted
 * @param pngPaths - of the PNG files that are wanted, by position
 * @throws ConfigError if another request has begun the archive or one of its parts
 * @throws DataError if the archive of a part is damaged
 */
export async function findEarlier(
  request: PictureFacts,
  archivePath: string | undefined,
  pngPaths: readonly string[] | undefined,
): Promise<EarlierPictures> {
  const finished: FinishedArchive[] = [];
  let archive: ArchiveFile | undefined;
  const close = async (): Promise<void> => {
    await archive?.abandon();
    for (const other of finished) await other.close();
  };
  try {
    if (archivePath !== undefined) {
      const whole = await findFinished(archivePath, archiveOf(request, request.part));
      if (whole !== undefined) finished.push(whole);
      else {
        if (request.part.parts === 1) await findParts(request, archivePath, finished);
        archive = await ArchiveFile.open(archivePath, archiveOf(request, request.part));
      }
    }
    const positions = request.batches.flatMap(({ first, count }) =>
      Array.from({ length: count }, (_, i) => first + i),
    );
    const note = (position: number): string => noteOf(request, position);
    const png = pngPaths && (await findPngFiles(pngPaths, note, request.pipeline.pictureShape, positions));
    const sources = [archive, ...finished, png].filter((source) => source !== undefined);
    return {
      archive,
      png,
      of: (first, count) => sources.find((source) => hasAll(source, first, count)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Undefined where none is, or one of another request, which will be replaced. */
async function findFinished(path: string, options: ArchiveOptions): Promise<FinishedArchive | undefined> {
  const facts = await factsOfArchive(path);
  if (JSON.stringify(facts) !== JSON.stringify(headerOf(options))) return undefined;
  return FinishedArchive.open(path, options);
}

/** Adds the archives of parts that lie beside the archive of the whole. */
async function findParts(request: PictureFacts, wholePath: string, found: FinishedArchive[]): Promise<void> {
  const [folder, name] = [dirname(wholePath), basename(wholePath, '.npz')];
  for (const file of (await readdir(folder)).sort()) {
    const [, number, parts] = /^\.part-(\d+)-of-(\d+)\.npz$/.exec(file.slice(name.length)) ?? [];
    if (!file.startsWith(name) || number === undefined) continue;
    const path = join(folder, file);
    const options = archiveOf(request, { number: Number(number), parts: Number(parts) });
    const facts = await factsOfArchive(path);
    if (facts !== undefined) {
      const fix = 'draw all parts and the whole with the same settings, or move this file away';
      expectSameFacts(path, facts, options, fix);
    }
    const part = facts && (await FinishedArchive.open(path, options));
    if (part === undefined) {
      const problem = 'this archive of a part of the pictures is damaged';
      throw new DataError({
        where: path,
        problem,
        fix: 'copy it again, or delete it: its pictures are drawn again',
      });
    }
    found.push(part);
  }
}

function archiveOf(request: PictureFacts, part: Part): ArchiveOptions {
  const { pipeline, wanted, labels, count } = request;
  const { space, pictureShape, sampler } = pipeline;
  const batches = new BatchPlan(wanted.length, sampler.batchSize).batchesOf(part);
  const [first, last] = [batches[0]!, batches.at(-1)!];
  return {
    dtype: space.kind === 'pixels' ? 'u8' : 'f32',
    pictureShape,
    first: first.first,
    labels: wanted.slice(first.first, last.first + last.count).map(({ label }) => label),
    facts: {
      ...commonFacts(request),
      // The checksum of the labels tells all apart.
      classes: labels.slice(0, MOST_LISTED),
      count,
      ...(part.parts === WHOLE.parts ? {} : { part: `${part.number}/${part.parts}` }),
    },
  };
}

const MOST_LISTED = 20;

function commonFacts({ pipeline, origin, seed, noise, init }: PictureFacts): Facts {
  const { settings, strength, precision, batchSize, threads } = pipeline.sampler;
  const given = {
    ...(noise && { noise: checksum(noise.data) }),
    ...(init && { init: checksum(init.image.data), strength }),
    ...(init?.mask && { mask: checksum(init.mask.data) }),
  };
  return { ...origin, seed, ...given, ...settings, precision, batchSize, threads };
}

/**
 * What a picture was drawn with, as its PNG file notes it. Of the others it depends only where they share its batch, and
 * round as it does.
 */
export function noteOf(request: PictureFacts, position: number): string {
  const { wanted, pipeline, noise } = request;
  const { label, index } = wanted[position]!;
  const isAlone = pipeline.sampler.batchSize === 1;
  const facts = {
    ...commonFacts(request),
    ...(isAlone
      ? {}
      : { among: checksum(Int32Array.from(wanted.flatMap((image) => [image.label, image.index]))) }),
    ...(noise === undefined ? {} : { position }),
    label,
    index,
  };
  return JSON.stringify(facts).replace(/[^ -~]/g, escaped);
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function checksum({ buffer, byteOffset, byteLength }: ArrayBufferView): number {
  return crc32(new Uint8Array(buffer, byteOffset, byteLength));
}
