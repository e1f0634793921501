/**
 * @file The part of a download that has arrived, kept between tries and between runs.
 *
 * `FILE.part` holds the bytes; `FILE.part.json` says what they are a part of, and is written before the first of them.
 */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DownloadError } from '../../core/errors.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { hashInto, type ReadOptions } from '../../host/files/digest-node.ts';
import { readJson } from '../../host/files/read-json-node.ts';
import { freeBytes, isDiskFull, systemErrorCode, wholeFileError } from '../../host/files/write-error-node.ts';

/** What the bytes are a part of. */
export interface PartOrigin {
  readonly url: string;
  /** An entity tag or a date, if the server gave one. */
  readonly validator?: string | undefined;
  readonly totalBytes?: number | undefined;
}

/** A file that may be there already, to be read and written at any place. */
const READ_WRITE_CREATE = constants.O_RDWR | constants.O_CREAT;

export class PartFile {
  readonly path: string;
  readonly #file: FileHandle;
  #hash = createHash('sha256');
  #bytes = 0;
  #origin: PartOrigin | undefined;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Opens the part, and hashes what an earlier run left of the same `url`; anything else is dropped. */
  static async open(path: string, url: string, options: ReadOptions): Promise<PartFile> {
    const origin = await readOrigin(path);
    const file = await open(path, READ_WRITE_CREATE).catch(async (cause) => {
      throw await wholeFileError(path, cause, 0, DownloadError);
    });
    const part = new PartFile(path, file);
    try {
      if (origin?.url === url) {
        part.#origin = origin;
        part.#bytes = await hashInto(part.#hash, file, options);
      } else {
        await file.truncate(0);
      }
      return part;
    } catch (error) {
      await part.close();
      throw error;
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  get origin(): PartOrigin | undefined {
    return this.#origin;
  }

  /** SHA-256 of the bytes so far, in hexadecimal. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Drops all bytes. */
  async drop(): Promise<void> {
    await this.#orExplain(() => this.#file.truncate(0));
    this.#hash = createHash('sha256');
    this.#bytes = 0;
  }

  /** Drops all bytes; those to come are a part of `origin`. */
  async restart(origin: PartOrigin): Promise<void> {
    await this.drop();
    await writeFileAtomic(originPath(this.path), [Buffer.from(JSON.stringify(origin))], DownloadError);
    this.#origin = origin;
  }

  /** @throws DownloadError, keeping what was written before, when the disk is full */
  async append(bytes: Uint8Array): Promise<void> {
    await this.#orExplain(async () => {
      for (let offset = 0; offset < bytes.length; ) {
        const length = bytes.length - offset;
        const { bytesWritten } = await this.#file.write(bytes, offset, length, this.#bytes);
        this.#hash.update(bytes.subarray(offset, offset + bytesWritten));
        this.#bytes += bytesWritten;
        offset += bytesWritten;
      }
    });
  }

  /** Makes sure that the bytes survive a power cut. */
  async sync(): Promise<void> {
    await this.#orExplain(() => this.#file.sync());
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #orExplain<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      const rest = (this.#origin?.totalBytes ?? this.#bytes) - this.#bytes;
      if (!isDiskFull(systemErrorCode(cause))) {
        throw await wholeFileError(this.path, cause, rest, DownloadError);
      }
      throw await diskFullError(this.path, this.#bytes, rest, cause);
    }
  }
}

/** @throws DownloadError if the rest of a download has no room on its disk */
export async function expectRoom(part: PartFile, totalBytes: number): Promise<void> {
  const free = await freeBytes(dirname(part.path));
  const rest = totalBytes - part.bytes;
  if (free !== undefined && free < rest) throw await diskFullError(part.path, part.bytes, rest);
}

async function diskFullError(
  path: string,
  bytes: number,
  restBytes: number,
  cause?: unknown,
): Promise<DownloadError> {
  const free = (await freeBytes(dirname(path))) ?? 'an unknown number';
  return new DownloadError({
    where: path,
    problem: `the disk is full: the rest needs ${restBytes} bytes, ${free} are free; ${bytes} that have arrived are kept`,
    fix: 'free some space and run the command again, or name a folder on another disk with --cache-dir',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What the part at `path` is a part of; undefined if there is none. */
export async function readOrigin(path: string): Promise<PartOrigin | undefined> {
  return (await readJson(originPath(path)).catch(() => undefined)) as PartOrigin | undefined;
}

/** Removes the part at `path`, if there is one. */
export async function removePart(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(originPath(path), { force: true });
}

function originPath(path: string): string {
  return `${path}.json`;
}
