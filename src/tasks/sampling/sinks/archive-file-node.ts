/**
 * @file All pictures or latents in one archive that NumPy reads, of any size: written as they come, and gone on with after
 * a kill.
 *
 * `FILE.part` has the values so far. `FILE.journal` says in its first line what they depend on, then in a line per batch
 * how many pictures are whole and their checksum: what does not agree with it, after a power cut, is drawn again.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { BYTES_PER_ELEMENT } from '../../../core/dtype.ts';
import { ConfigError, DataError } from '../../../core/errors.ts';
import { hostTensor, tensorOf } from '../../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../../core/shape.ts';
import { UNNAMED_ARRAY } from '../../../formats/npz.ts';
import { NpzWriter } from '../../../formats/npz-writer.ts';
import { AppendFile } from '../../../host/files/append-file-node.ts';
import { syncFolder, writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import { readFully, writeFully } from '../../../host/files/transfer-node.ts';
import {
  freeBytes,
  isDiskFull,
  systemErrorCode,
  wholeFileError,
} from '../../../host/files/write-error-node.ts';
import type { PictureBatch } from '../pipeline.ts';
import type { Sink, SinkResult } from './sink.ts';

// N pictures in all

export interface ArchiveOptions {
  /** Pixels `u8[N,H,W,C]`, or latents `f32[N,C,H,W]`. */
  readonly dtype: 'u8' | 'f32';
  /** Of one picture. */
  readonly pictureShape: Shape;
  /** The class of each picture, [N]. */
  readonly labels: readonly number[];
  /** What the pictures depend on, as JSON: an archive that was begun with other facts is not gone on with. */
  readonly facts: Readonly<Record<string, unknown>>;
}

const LABELS_ARRAY = 'labels';
/** A file that may be there already, to be read and written at any place. */
const READ_WRITE_CREATE = constants.O_RDWR | constants.O_CREAT;

/** Writes `arr_0` with all pictures in their order, and `labels` i64[N]. */
export class ArchiveFile implements Sink {
  readonly path: string;
  /** Pictures that an earlier run has written. */
  readonly found: number;
  readonly #options: ArchiveOptions;
  readonly #file: FileHandle;
  readonly #writer: NpzWriter;
  readonly #journal: AppendFile;
  #count: number;

  /**
   * Begins an archive, or opens what a killed run has left of it.
   *
   * @throws ConfigError if that run was asked for something else
   * @throws DataError if the disk has no room for all pictures, or cannot be written
   */
  static async open(path: string, options: ArchiveOptions): Promise<ArchiveFile> {
    const { dtype, pictureShape, labels, facts } = options;
    const header = { ...facts, labels: crc32(Int32Array.from(labels)) };
    const journal = await readJournal(journalPath(path));
    if (journal !== undefined) expectSameFacts(path, journal.facts, header, labels.length);
    const file = await open(partPath(path), READ_WRITE_CREATE).catch(async (cause) => {
      throw await wholeFileError(path, cause, 0, DataError);
    });
    try {
      const forms = [
        { name: UNNAMED_ARRAY, dtype, shape: [labels.length, ...pictureShape] },
        { name: LABELS_ARRAY, dtype: 'i64', shape: [labels.length] },
      ] as const;
      const writer = new NpzWriter(forms, {
        write: (bytes, position) => writeFully(file, bytes, position),
        crc32,
      });
      const pictureBytes = sizeOf(pictureShape) * BYTES_PER_ELEMENT[dtype];
      const marks = await readValues(file, writer, journal?.marks ?? [], pictureBytes);
      const count = marks.at(-1)?.count ?? 0;
      await file.truncate(writer.valuesBegin(UNNAMED_ARRAY) + count * pictureBytes);
      await expectRoom(path, writer.byteLength - count * pictureBytes, count, labels.length);
      const lines = [JSON.stringify(header), ...marks.map(lineOf)].map((line) => `${line}\n`);
      await writeFileAtomic(journalPath(path), [Buffer.from(lines.join(''))]);
      return new ArchiveFile(path, options, file, writer, count);
    } catch (error) {
      await file.close();
      if (journal === undefined) await rm(partPath(path), { force: true });
      throw error;
    }
  }

  private constructor(
    path: string,
    options: ArchiveOptions,
    file: FileHandle,
    writer: NpzWriter,
    found: number,
  ) {
    this.path = path;
    this.found = found;
    this.#options = options;
    this.#file = file;
    this.#writer = writer;
    this.#count = found;
    this.#journal = new AppendFile(journalPath(path));
  }

  /** The pictures that an earlier run has written, for sinks that need them too. */
  async *earlier(batchSize: number): AsyncGenerator<PictureBatch> {
    const { dtype, pictureShape, labels } = this.#options;
    const size = sizeOf(pictureShape);
    const begin = this.#writer.valuesBegin(UNNAMED_ARRAY);
    for (let first = 0; first < this.found; first += batchSize) {
      const count = Math.min(batchSize, this.found - first);
      const bytes = new Uint8Array(count * size * BYTES_PER_ELEMENT[dtype]);
      await readFully(this.#file, bytes, begin + first * size * BYTES_PER_ELEMENT[dtype]);
      const shape = [count, ...pictureShape];
      const pictures =
        dtype === 'u8'
          ? hostTensor('u8', shape, bytes)
          : hostTensor('f32', shape, new Float32Array(bytes.buffer));
      yield { first, labels: labels.slice(first, first + count), pictures };
    }
  }

  /** Passes over what an earlier run has written. */
  async put({ first, labels, pictures }: PictureBatch): Promise<void> {
    if (first < this.found) return;
    if (first !== this.#count) throw new Error(`picture ${first} comes after ${this.#count} pictures`);
    await this.#append(UNNAMED_ARRAY, pictures.data);
    this.#count += labels.length;
    this.#journal.append(
      `${lineOf({ count: this.#count, checksum: this.#writer.checksum(UNNAMED_ARRAY) })}\n`,
    );
  }

  async close(): Promise<SinkResult> {
    const { labels } = this.#options;
    await this.#append(LABELS_ARRAY, tensorOf('i64', [labels.length], labels).data);
    await this.#orExplain(async () => {
      await this.#writer.finish();
      await this.#file.sync();
    });
    await this.abandon();
    await rename(partPath(this.path), this.path);
    await syncFolder(dirname(this.path));
    await rm(journalPath(this.path));
    return { paths: [this.path] };
  }

  /** What is written stays, to be gone on with. */
  async abandon(): Promise<void> {
    this.#journal.close();
    await this.#file.close();
  }

  #append(array: string, { buffer, byteOffset, byteLength }: ArrayBufferView): Promise<void> {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    return this.#orExplain(() => this.#writer.append(array, bytes));
  }

  async #orExplain(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (cause) {
      const { labels, pictureShape, dtype } = this.#options;
      const rest = (labels.length - this.#count) * sizeOf(pictureShape) * BYTES_PER_ELEMENT[dtype];
      const code = systemErrorCode(cause);
      if (code === undefined) throw cause;
      if (!isDiskFull(code)) throw await wholeFileError(this.path, cause, rest, DataError);
      throw diskFull(this.path, rest, await freeBytes(dirname(this.path)), this.#count, labels.length, cause);
    }
  }
}

function partPath(path: string): string {
  return `${path}.part`;
}

function journalPath(path: string): string {
  return `${path}.journal`;
}

/** So many pictures are whole. */
interface Mark {
  readonly count: number;
  /** Of the array's header and its values up to there. */
  readonly checksum: number;
}

interface Journal {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly marks: readonly Mark[];
}

function lineOf({ count, checksum }: Mark): string {
  return `${count} ${checksum}`;
}

/** Undefined where there is none, or it was cut off in its first line. */
async function readJournal(path: string): Promise<Journal | undefined> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  });
  // What comes after the last line's end was cut off.
  const [first, ...lines] = text.split('\n').slice(0, -1);
  if (first === undefined) return undefined;
  const marks = lines.map((line) => {
    const [count = Number.NaN, checksum = Number.NaN] = line.split(' ').map(Number);
    return { count, checksum };
  });
  return { facts: JSON.parse(first), marks };
}

/** Reads what is there up to each mark, and gives the marks that it agrees with. */
async function readValues(
  file: FileHandle,
  writer: NpzWriter,
  marks: readonly Mark[],
  pictureBytes: number,
): Promise<Mark[]> {
  const sound: Mark[] = [];
  let count = 0;
  const begin = writer.valuesBegin(UNNAMED_ARRAY);
  for (const mark of marks) {
    const bytes = new Uint8Array((mark.count - count) * pictureBytes);
    const isWhole = (await readFully(file, bytes, begin + count * pictureBytes)) === bytes.length;
    if (!isWhole || crc32(bytes, writer.checksum(UNNAMED_ARRAY)) !== mark.checksum) break;
    writer.skip(UNNAMED_ARRAY, bytes);
    count = mark.count;
    sound.push(mark);
  }
  return sound;
}

function expectSameFacts(path: string, begun: object, asked: object, total: number): void {
  const [before, now] = [begun, asked].map((facts) => new Map(Object.entries(facts))) as [
    Map<string, unknown>,
    Map<string, unknown>,
  ];
  for (const key of new Set([...now.keys(), ...before.keys()])) {
    const [was, is] = [before, now].map((facts) => JSON.stringify(facts.get(key)) ?? 'none');
    if (was === is) continue;
    throw new ConfigError({
      where: path,
      problem: `its ${total} pictures were started with ${key} ${was}, but ${key} is now ${is}`,
      fix: `repeat the command with its first settings, or delete ${partPath(path)} and ${journalPath(path)} to begin anew`,
    });
  }
}

/** @throws DataError if the disk has no room for the rest */
async function expectRoom(path: string, restBytes: number, count: number, total: number): Promise<void> {
  const free = await freeBytes(dirname(path));
  if (free !== undefined && free < restBytes) throw diskFull(path, restBytes, free, count, total);
}

function diskFull(
  path: string,
  restBytes: number,
  free: number | undefined,
  count: number,
  total: number,
  cause?: unknown,
): DataError {
  return new DataError({
    where: path,
    problem: `the disk is full: the rest needs ${restBytes} bytes, ${free ?? 'an unknown number'} are free; ${count} of ${total} pictures are there`,
    fix: 'free some space, then run the same command again; or choose another folder with --out',
    ...(cause === undefined ? {} : { cause }),
  });
}
