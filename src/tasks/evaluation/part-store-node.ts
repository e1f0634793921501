/** @file What was collected of a set of pictures, on disk in parts of some hundred of them. */
import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../core/errors.ts';
import type { TensorMap } from '../../core/host-tensor.ts';
import { fileSource } from '../../data/datasets/latents/stored-files-node.ts';
import { readSafetensors, writeSafetensors } from '../../formats/file-node.ts';
import { openSafetensors, type SafetensorsSource } from '../../formats/safetensors.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import type { FeatureRows } from '../../metrics/feature-rows.ts';
import type { FeatureSet } from '../../metrics/matrix-product.ts';

/** Pictures of a part; the last one may have fewer. */
export const PART = 512;

export interface PartStore {
  /** The part that begins with picture `first`; undefined where it is not there. */
  read(first: number): Promise<TensorMap | undefined>;
  write(first: number, part: TensorMap): Promise<void>;
  /** A tensor [n, width] of all parts, read from them row by row; undefined where nothing is kept. */
  rows(name: string, width: number, count: number): FeatureRows | undefined;
}

export const FORGETFUL: PartStore = {
  read: async () => undefined,
  write: async () => {},
  rows: () => undefined,
};

/**
 * @param identity - all that the parts depend on; those of another one lie elsewhere
 * @throws DataError if the folder cannot be made
 */
export async function openPartStore(folder: string, identity: unknown): Promise<PartStore> {
  const key = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const place = join(folder, key);
  const pathOf = (first: number) => join(place, `${String(first).padStart(7, '0')}.safetensors`);
  await makeFolder(place, { Failure: DataError, fix: 'name a writable folder in UDIT_CACHE' });
  return {
    async read(first) {
      const isThere = await access(pathOf(first)).then(
        () => true,
        () => false,
      );
      return isThere ? (await readSafetensors(pathOf(first))).tensors : undefined;
    },
    write: (first, part) => writeSafetensors(pathOf(first), part, {}),
    rows: (name, width, count) => new KeptRows(pathOf, name, width, count),
  };
}

const READS_AT_ONCE = 16;

class KeptRows implements FeatureRows {
  readonly count: number;
  readonly width: number;
  private readonly pathOf: (first: number) => string;
  private readonly name: string;
  private readonly opened = new Map<number, Promise<SafetensorsSource>>();

  constructor(pathOf: (first: number) => string, name: string, width: number, count: number) {
    this.pathOf = pathOf;
    this.name = name;
    this.width = width;
    this.count = count;
  }

  async read(start: number, end: number): Promise<FeatureSet> {
    const values = new Float32Array((end - start) * this.width);
    for (let row = start; row < end; ) {
      const after = Math.min(end, firstOfPart(row) + PART);
      values.set(await this.rowsOfPart(row, after - row), (row - start) * this.width);
      row = after;
    }
    return { values, width: this.width };
  }

  async take(rows: Int32Array): Promise<FeatureSet> {
    const values = new Float32Array(rows.length * this.width);
    const takeOne = async (place: number) =>
      values.set(await this.rowsOfPart(rows[place]!, 1), place * this.width);
    // In the order of the files, so that few are open at once.
    const places = Array.from(rows.keys()).sort((a, b) => rows[a]! - rows[b]!);
    for (let i = 0; i < places.length; i += READS_AT_ONCE)
      await Promise.all(places.slice(i, i + READS_AT_ONCE).map(takeOne));
    return { values, width: this.width };
  }

  private async rowsOfPart(row: number, count: number): Promise<Float32Array> {
    const first = firstOfPart(row);
    const opening = this.opened.get(first) ?? this.open(first);
    this.opened.set(first, opening);
    const { data } = await (await opening).readRows(this.name, row - first, count);
    return data as Float32Array;
  }

  private async open(first: number): Promise<SafetensorsSource> {
    const path = this.pathOf(first);
    return openSafetensors(await fileSource(path), path);
  }
}

const firstOfPart = (row: number): number => row - (row % PART);
