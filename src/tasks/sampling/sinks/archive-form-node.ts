/** @file What archives of pictures hold beside the pictures: labels, and in the zip comment what they were drawn with. */
import { crc32 } from 'node:zlib';
import { BYTES_PER_ELEMENT } from '../../../core/dtype.ts';
import { ConfigError } from '../../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import type { OptionTable } from '../../../core/options.ts';
import { type Shape, sizeOf } from '../../../core/shape.ts';
import { UNNAMED_ARRAY } from '../../../formats/npz.ts';
import { type ArrayForm, type NpzTarget, NpzWriter } from '../../../formats/npz-writer.ts';

// N pictures of the archive

export interface ArchiveOptions {
  /** Pixels `u8[N,H,W,C]`, or latents `f32[N,C,H,W]`. */
  readonly dtype: 'u8' | 'f32';
  /** Of one picture. */
  readonly pictureShape: Shape;
  /** The class of each picture, [N]. */
  readonly labels: readonly number[];
  /** Position of its first picture among all, where it holds a part of them. Default 0. */
  readonly first?: number;
  /** What the pictures depend on, as JSON: an archive that was begun with other facts is not gone on with. */
  readonly facts: Facts;
}

export const ARCHIVE_OPTIONS: OptionTable<ArchiveOptions> = {
  dtype: 'needed',
  pictureShape: 'needed',
  labels: 'needed',
  first: 'optional',
  facts: 'needed',
};

export type Facts = Readonly<Record<string, unknown>>;

export const LABELS_ARRAY = 'labels';

/** The facts, and a checksum of the labels. */
export function headerOf({ facts, labels }: ArchiveOptions): Facts {
  return { ...facts, labels: crc32(Int32Array.from(labels)) };
}

/** Lays an archive out. */
export function archiveWriter(options: ArchiveOptions, write: NpzTarget['write']): NpzWriter {
  const { dtype, pictureShape, labels } = options;
  const forms: readonly ArrayForm[] = [
    { name: UNNAMED_ARRAY, dtype, shape: [labels.length, ...pictureShape] },
    { name: LABELS_ARRAY, dtype: 'i64', shape: [labels.length] },
  ];
  return new NpzWriter(forms, { write, crc32, comment: JSON.stringify(headerOf(options)) });
}

/** Of one picture. */
export function pictureBytes({ dtype, pictureShape }: ArchiveOptions): number {
  return sizeOf(pictureShape) * BYTES_PER_ELEMENT[dtype];
}

/** Pictures of an archive from their bytes. */
export function picturesOf(
  { dtype, pictureShape }: ArchiveOptions,
  count: number,
  bytes: Uint8Array<ArrayBuffer>,
): HostTensor<'u8'> | HostTensor<'f32'> {
  const shape = [count, ...pictureShape];
  return dtype === 'u8'
    ? hostTensor('u8', shape, bytes)
    : hostTensor('f32', shape, new Float32Array(bytes.buffer));
}

/**
 * @param begun - what the file at `path` was drawn with
 * @throws ConfigError naming the first fact that is another one now
 */
export function expectSameFacts(path: string, begun: Facts, asked: ArchiveOptions, fix: string): void {
  const [before, now] = [begun, headerOf(asked)].map((facts) => new Map(Object.entries(facts))) as [
    Map<string, unknown>,
    Map<string, unknown>,
  ];
  for (const key of new Set([...now.keys(), ...before.keys()])) {
    const [was, is] = [before, now].map((facts) => JSON.stringify(facts.get(key)) ?? 'none');
    if (was === is) continue;
    throw new ConfigError({
      where: path,
      problem: `its ${asked.labels.length} pictures were started with ${key} ${was}, but ${key} is now ${is}`,
      fix,
    });
  }
}
