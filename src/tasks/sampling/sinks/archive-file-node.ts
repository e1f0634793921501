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
import { DataError } from '../../../core/errors.ts';
import { tensorOf } from '../../../core/host-tensor.ts';
import { expectOptions } from '../../../core/options.ts';
import { UNNAMED_ARRAY } from '../../../formats/npz.ts';
import type { NpzWriter } from '../../../formats/npz-writer.ts';
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
import {
  ARCHIVE_OPTIONS,
  type ArchiveOptions,
  archiveWriter,
  expectSameFacts,
  type Facts,
  headerOf,
  LABELS_ARRAY,
  pictureBytes,
  picturesOf,
} from './archive-form-node.ts';
import type { FoundPictures } from './found-pictures.ts';
import type { Sink, SinkResult } from './sink.ts';

/** A file that may be there already, to be read and written at any place. */
const READ_WRITE_CREATE = constants.O_RDWR | constants.O_CREAT;

/** Writes `arr_0` with all pictures in their order, and `labels` i64[N]. */
export class ArchiveFile implements Sink, FoundPictures {
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
   * @throws ConfigError if that run was asked for something else, or for an option that does not exist
   * @throws DataError if the disk has no room for all pictures, or cannot be written
   */
  static async open(path: string, options: ArchiveOptions): Promise<ArchiveFile> {
    expectOptions(options, 'ArchiveFile.open', ARCHIVE_OPTIONS);
    const { labels } = options;
    const journal = await readJournal(journalPath(path));
    const fix = `repeat the command with its first settings, or delete ${partPath(path)} and ${journalPath(path)} to begin anew`;
    if (journal !== undefined) expectSameFacts(path, journal.facts, options, fix);
    const file = await open(partPath(path), READ_WRITE_CREATE).catch(async (cause) => {
      throw await wholeFileError(path, cause, 0, DataError);
    });
    try {
      const writer = archiveWriter(options, (bytes, position) => writeFully(file, bytes, position));
      const size = pictureBytes(options);
      const marks = await readValues(file, writer, journal?.marks ?? [], size);
      const count = marks.at(-1)?.count ?? 0;
      await file.truncate(writer.valuesBegin(UNNAMED_ARRAY) + count * size);
      await expectRoom(path, writer.byteLength - count * size, count, labels.length);
      const lines = [JSON.stringify(headerOf(options)), ...marks.map(lineOf)].map((line) => `${line}\n`);
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

  has(position: number): boolean {
    const first = this.#first;
    return position >= first && position < first + this.found;
  }

  /** Of those that an earlier run has written. */
  async read(first: number, count: number) {
    const size = pictureBytes(this.#options);
    const bytes = new Uint8Array(count * size);
    await readFully(this.#file, bytes, this.#begin + (first - this.#first) * size);
    return picturesOf(this.#options, count, bytes);
  }

  async put({ first, labels, pictures }: PictureBatch): Promise<void> {
    if (this.has(first)) return;
    const next = this.#first + this.#count;
    if (first !== next) throw new Error(`picture ${first} comes in place of ${next}`);
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

  /** What is written stays, to be gone on with. Closes what `close` has not closed. */
  async abandon(): Promise<void> {
    this.#journal.close();
    await this.#file.close();
  }

  get #first(): number {
    return this.#options.first ?? 0;
  }

  get #begin(): number {
    return this.#writer.valuesBegin(UNNAMED_ARRAY);
  }

  #append(array: string, { buffer, byteOffset, byteLength }: ArrayBufferView): Promise<void> {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    return this.#orExplain(() => this.#writer.append(array, bytes));
  }

  async #orExplain(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (cause) {
      const { labels } = this.#options;
      const rest = (labels.length - this.#count) * pictureBytes(this.#options);
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
  readonly facts: Facts;
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
