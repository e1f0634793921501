/** @file Archives that are whole: of all pictures, or of a part that another machine may have drawn. */
import { type FileHandle, open } from 'node:fs/promises';
import { tensorOf } from '../../../core/host-tensor.ts';
import { UNNAMED_ARRAY } from '../../../formats/npz.ts';
import { commentOf, END_BYTES, MOST_COMMENT_BYTES } from '../../../formats/zip-records.ts';
import { readFully } from '../../../host/files/transfer-node.ts';
import { systemErrorCode } from '../../../host/files/write-error-node.ts';
import {
  type ArchiveOptions,
  archiveWriter,
  type Facts,
  LABELS_ARRAY,
  pictureBytes,
  picturesOf,
} from './archive-form-node.ts';
import type { FoundPictures } from './found-pictures.ts';

const BLOCK_BYTES = 2 ** 22;

export class FinishedArchive implements FoundPictures {
  readonly #file: FileHandle;
  readonly #options: ArchiveOptions;
  readonly #begin: number;

  /**
   * Reads all of an archive once.
   *
   * @returns undefined unless each of its bytes is that which would be written with these options
   */
  static async open(path: string, options: ArchiveOptions): Promise<FinishedArchive | undefined> {
    const file = await open(path);
    try {
      const writer = archiveWriter(options, () => Promise.reject(new Error(`${path} is only read`)));
      const begin = writer.valuesBegin(UNNAMED_ARRAY);
      const valuesEnd = begin + options.labels.length * pictureBytes(options);
      for (let at = begin; at < valuesEnd; at += BLOCK_BYTES) {
        const bytes = new Uint8Array(Math.min(BLOCK_BYTES, valuesEnd - at));
        await readFully(file, bytes, at);
        writer.skip(UNNAMED_ARRAY, bytes);
      }
      const labels = tensorOf('i64', [options.labels.length], options.labels).data;
      writer.skip(LABELS_ARRAY, new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
      const end = writer.end();
      const found = new Uint8Array(end.bytes.length + 1);
      const isWhole =
        (await readFully(file, found, end.begin)) === end.bytes.length &&
        end.bytes.every((byte, i) => byte === found[i]);
      if (isWhole) return new FinishedArchive(file, options, begin);
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return undefined;
  }

  private constructor(file: FileHandle, options: ArchiveOptions, begin: number) {
    this.#file = file;
    this.#options = options;
    this.#begin = begin;
  }

  get #first(): number {
    return this.#options.first ?? 0;
  }

  has(position: number): boolean {
    return position >= this.#first && position < this.#first + this.#options.labels.length;
  }

  async read(first: number, count: number) {
    const size = pictureBytes(this.#options);
    const bytes = new Uint8Array(count * size);
    await readFully(this.#file, bytes, this.#begin + (first - this.#first) * size);
    return picturesOf(this.#options, count, bytes);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** What the pictures of an archive were drawn with; undefined where no archive is, or one that does not say so. */
export async function factsOfArchive(path: string): Promise<Facts | undefined> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    const end = new Uint8Array(Math.min(size, END_BYTES + MOST_COMMENT_BYTES));
    await readFully(file, end, size - end.length);
    return JSON.parse(commentOf(end) || 'null') ?? undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    await file.close();
  }
}
