/**
 * @file Zip archives read entry by entry from a file of any size, with 64-bit extensions. Every size in them may be a
 * lie: none is believed before it is seen to fit into the file, and into the entries around it.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { Inflate } from 'fflate';
import { CheckpointError } from '../core/errors.ts';
import type { ByteSource } from './byte-source.ts';
import { crc32 as portableCrc32 } from './crc32.ts';
import { checkExpansion, damaged } from './tensor-file.ts';
import {
  DIRECTORY_BYTES,
  DIRECTORY_SIGNATURE,
  END_BYTES,
  END_SIGNATURE,
  END64_BYTES,
  END64_LOCATOR_BYTES,
  END64_LOCATOR_SIGNATURE,
  END64_SIGNATURE,
  EXTRA_ZIP64,
  IN_EXTENSION,
  LOCAL_BYTES,
  LOCAL_SIGNATURE,
} from './zip-records.ts';

export interface ZipEntry {
  readonly name: string;
  /** Of the content, after decompression. */
  readonly size: number;
}

interface StoredEntry extends ZipEntry {
  readonly method: number;
  readonly isEncrypted: boolean;
  /** 0: none was computed. */
  readonly crc: number;
  readonly storedSize: number;
  /** Where its own header begins, and where the next entry or the directory does. */
  readonly begin: number;
  readonly limit: number;
}

const MAX_COMMENT_BYTES = 0xffff;
const FLAG_ENCRYPTED = 1;
/** PyTorch can leave checksums out, for speed. */
const NO_CHECKSUM = 0;
const METHODS = { stored: 0, deflated: 8 } as const;

/** PyTorch's largest checkpoints have some ten thousand entries of about 100 bytes. */
const MAX_DIRECTORY_BYTES = 2 ** 24;
/** Read at once to check what is not kept. */
const CHUNK_BYTES = 2 ** 22;
/** Compressed bytes unpacked at once; they can become a thousand times as many before their size is seen. */
const INFLATE_BYTES = 2 ** 13;

/** Deflate packs no better: 258 bytes into two bits. */
const MAX_DEFLATION = 1032;

/** Asks for the bytes from `begin` to `end`, and goes on with them: the same steps read a file and what is in memory. */
type Reading<T> = Generator<readonly [begin: number, end: number], T, Uint8Array>;

async function readFrom<T>(source: ByteSource, reading: Reading<T>): Promise<T> {
  let step = reading.next();
  while (step.done !== true) step = reading.next(await source.read(...step.value));
  return step.value;
}

function readIn<T>(bytes: Uint8Array, reading: Reading<T>): T {
  let step = reading.next();
  while (step.done !== true) step = reading.next(bytes.subarray(...step.value));
  return step.value;
}

export class ZipArchive {
  /** In the order of their contents. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  private readonly source: ByteSource;
  private readonly contents: Contents;

  /**
   * @param maxDirectoryBytes - limit of the list of entries; by default that of checkpoints
   * @throws CheckpointError if the directory is damaged, or its entries overlap or leave the file
   */
  static async open(
    source: ByteSource,
    where: string,
    { maxDirectoryBytes = MAX_DIRECTORY_BYTES }: { readonly maxDirectoryBytes?: number } = {},
  ): Promise<ZipArchive> {
    const entries = await readFrom(source, readDirectory(source.size, where, maxDirectoryBytes));
    const unpackedBytes = entries.reduce((sum, { size }) => sum + size, 0);
    checkExpansion('its zip archive', unpackedBytes, source.size, where);
    return new ZipArchive(source, new Contents(entries, where, source.crc32));
  }

  private constructor(source: ByteSource, contents: Contents) {
    this.source = source;
    this.contents = contents;
    this.entries = contents.entries;
  }

  /**
   * The content of an entry, or a part of it. The checksum of the whole is checked the first time, in pieces where only
   * a part is kept.
   *
   * @throws CheckpointError if the content is damaged
   */
  read(name: string, begin = 0, end = this.entries.get(name)!.size): Promise<Uint8Array> {
    return readFrom(this.source, this.contents.read(name, begin, end));
  }
}

/**
 * An archive in memory: what reads each of its entries, by their names. Contents that are stored as they are, are views.
 *
 * @throws CheckpointError if the directory is damaged, or its entries overlap or leave the file; when an entry is read,
 * if its content is damaged
 */
export function unzip(bytes: Uint8Array, where: string): ReadonlyMap<string, () => Uint8Array> {
  const entries = readIn(bytes, readDirectory(bytes.length, where, MAX_DIRECTORY_BYTES));
  const contents = new Contents(entries, where);
  return new Map(
    entries.map(({ name, size }) => [name, () => readIn(bytes, contents.read(name, 0, size))] as const),
  );
}

class Contents {
  readonly entries: ReadonlyMap<string, StoredEntry>;
  private readonly where: string;
  private readonly crc32: (bytes: Uint8Array, previous?: number) => number;
  /** Where contents begin, of entries whose header was checked. */
  private readonly contentBegins = new Map<string, number>();
  /** Entries whose checksum was seen to be right. */
  private readonly verified = new Set<string>();
  /** The last content that was unpacked: many tensors may lie in it. */
  private unpacked: { readonly name: string; readonly content: Uint8Array } | undefined;

  constructor(entries: readonly StoredEntry[], where: string, crc32 = portableCrc32) {
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.where = where;
    this.crc32 = crc32;
  }

  *read(name: string, begin: number, end: number): Reading<Uint8Array> {
    const entry = this.entries.get(name)!;
    this.expectReadable(entry);
    if (entry.method === METHODS.deflated) return (yield* this.unpack(entry)).subarray(begin, end);
    const contentBegin = yield* this.findContent(entry);
    const isWhole = begin === 0 && end === entry.size;
    if (entry.crc === NO_CHECKSUM) this.verified.add(name);
    if (!isWhole && !this.verified.has(name)) yield* this.verifyInPieces(entry, contentBegin);
    const bytes = yield [contentBegin + begin, contentBegin + end];
    if (isWhole && !this.verified.has(name)) this.verify(entry, this.crc32(bytes));
    return bytes;
  }

  /** An entry that nobody asks for may be packed in any way. */
  private expectReadable({ name, method, isEncrypted }: StoredEntry): void {
    const { where } = this;
    if (isEncrypted) {
      throw new CheckpointError({
        where,
        problem: `${name} is encrypted`,
        fix: 'unpack it, then pack it without encryption',
      });
    }
    if (method !== METHODS.stored && method !== METHODS.deflated) {
      throw new CheckpointError({
        where,
        problem: `${name} is compressed by method ${method}: only 0 (stored) and 8 (deflated) are supported`,
        fix: 'unpack and pack it again by one of them',
      });
    }
  }

  private *verifyInPieces(entry: StoredEntry, contentBegin: number): Reading<void> {
    let crc = 0;
    for (let begin = 0; begin < entry.size; begin += CHUNK_BYTES) {
      const end = Math.min(begin + CHUNK_BYTES, entry.size);
      crc = this.crc32(yield [contentBegin + begin, contentBegin + end], crc);
    }
    this.verify(entry, crc);
  }

  private verify({ name, crc }: StoredEntry, actual: number): void {
    if (actual !== crc && crc !== NO_CHECKSUM) {
      throw damaged(
        this.where,
        `the checksum of ${name} is ${hex(actual)}, the archive says it should be ${hex(crc)}`,
      );
    }
    this.verified.add(name);
  }

  private *unpack(entry: StoredEntry): Reading<Uint8Array> {
    if (this.unpacked?.name === entry.name) return this.unpacked.content;
    if (entry.size > MAX_DEFLATION * entry.storedSize) {
      throw this.lyingSize(entry, `at most ${MAX_DEFLATION * entry.storedSize}`);
    }
    const begin = yield* this.findContent(entry);
    const content = new Uint8Array(entry.size);
    let size = 0;
    const inflate = new Inflate((piece) => {
      if (size + piece.length > content.length)
        throw this.lyingSize(entry, `at least ${size + piece.length}`);
      content.set(piece, size);
      size += piece.length;
    });
    for (let offset = 0; offset < entry.storedSize; offset += INFLATE_BYTES) {
      const next = Math.min(offset + INFLATE_BYTES, entry.storedSize);
      const bytes = yield [begin + offset, begin + next];
      try {
        inflate.push(bytes, next === entry.storedSize);
      } catch (cause) {
        if (cause instanceof CheckpointError) throw cause;
        throw damaged(this.where, `${entry.name} cannot be decompressed: ${(cause as Error).message}`, cause);
      }
    }
    if (size !== entry.size) throw this.lyingSize(entry, String(size));
    this.verify(entry, this.crc32(content));
    this.unpacked = { name: entry.name, content };
    return content;
  }

  private lyingSize({ name, size }: StoredEntry, actual: string): CheckpointError {
    return damaged(this.where, `${name} unpacks to ${actual} bytes, the archive says ${size}`);
  }

  /** Where the content begins, behind a header that must agree with the directory. */
  private *findContent(entry: StoredEntry): Reading<number> {
    const known = this.contentBegins.get(entry.name);
    if (known !== undefined) return known;
    const nameBytes = new TextEncoder().encode(entry.name);
    const nameEnd = entry.begin + LOCAL_BYTES + nameBytes.length;
    if (nameEnd > entry.limit) throw this.noHeader(entry);
    const header = yield [entry.begin, nameEnd];
    const view = viewOfBytes(header);
    const isThere =
      view.getUint32(0, true) === LOCAL_SIGNATURE &&
      view.getUint16(8, true) === entry.method &&
      view.getUint16(26, true) === nameBytes.length &&
      nameBytes.every((byte, i) => byte === header[LOCAL_BYTES + i]);
    if (!isThere) throw this.noHeader(entry);
    const begin = nameEnd + view.getUint16(28, true);
    if (begin + entry.storedSize > entry.limit) {
      throw damaged(
        this.where,
        `${entry.name} takes ${entry.storedSize} bytes from byte ${begin}, but ends before byte ${entry.limit}`,
      );
    }
    this.contentBegins.set(entry.name, begin);
    return begin;
  }

  private noHeader({ name, begin }: StoredEntry): CheckpointError {
    return damaged(this.where, `the zip directory puts ${name} at byte ${begin}, where it is not`);
  }
}

function* readDirectory(fileBytes: number, where: string, maxBytes: number): Reading<StoredEntry[]> {
  const { begin, end, count } = yield* findDirectory(fileBytes, where);
  if (end - begin > maxBytes) {
    throw damaged(where, `its zip directory takes ${end - begin} bytes, the limit is ${maxBytes}`);
  }
  return parseDirectory(yield [begin, end], begin, count, where);
}

interface DirectoryPlace {
  readonly begin: number;
  readonly end: number;
  readonly count: number;
}

/** What the record at the end says. */
interface DirectoryRecord {
  readonly count: number;
  readonly bytes: number;
  readonly begin: number;
  /** Where the record itself begins. */
  readonly limit: number;
}

/** From the record at the end of the file, which only a comment may follow. */
function* findDirectory(fileBytes: number, where: string): Reading<DirectoryPlace> {
  const tailBegin = Math.max(0, fileBytes - END_BYTES - MAX_COMMENT_BYTES - END64_LOCATOR_BYTES);
  const tail = yield [tailBegin, fileBytes];
  const view = viewOfBytes(tail);
  let at = tail.length - END_BYTES;
  while (
    at >= 0 &&
    !(
      view.getUint32(at, true) === END_SIGNATURE &&
      at + END_BYTES + view.getUint16(at + 20, true) === tail.length
    )
  ) {
    at--;
  }
  if (at < 0) throw damaged(where, 'the end of its zip archive is missing: the file is cut off');
  const endRecord = tailBegin + at;
  const place = {
    count: view.getUint16(at + 10, true),
    bytes: view.getUint32(at + 12, true),
    begin: view.getUint32(at + 16, true),
    limit: endRecord,
  };
  const locator = at - END64_LOCATOR_BYTES;
  const has64 = locator >= 0 && view.getUint32(locator, true) === END64_LOCATOR_SIGNATURE;
  const { begin, bytes, count, limit } = has64
    ? yield* read64(Number(view.getBigUint64(locator + 8, true)), tailBegin + locator, where)
    : place;
  if (begin + bytes > limit) {
    throw damaged(
      where,
      `its zip directory takes ${bytes} bytes from byte ${begin}, but ends before byte ${limit}`,
    );
  }
  return { begin, end: begin + bytes, count };
}

function* read64(at: number, limit: number, where: string): Reading<DirectoryRecord> {
  const view = at + END64_BYTES <= limit ? viewOfBytes(yield [at, at + END64_BYTES]) : undefined;
  if (view?.getUint32(0, true) !== END64_SIGNATURE) {
    throw damaged(where, `its zip directory has no 64-bit record at byte ${at}`);
  }
  return {
    count: Number(view.getBigUint64(32, true)),
    bytes: Number(view.getBigUint64(40, true)),
    begin: Number(view.getBigUint64(48, true)),
    limit: at,
  };
}

type DirectoryEntry = Omit<StoredEntry, 'limit'>;

/** @param directoryBegin - where the directory lies in the file, and the contents end */
function parseDirectory(
  directory: Uint8Array,
  directoryBegin: number,
  count: number,
  where: string,
): StoredEntry[] {
  const view = viewOfBytes(directory);
  const entries: DirectoryEntry[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at < directory.length) {
    const next = at + DIRECTORY_BYTES;
    if (next > directory.length || view.getUint32(at, true) !== DIRECTORY_SIGNATURE) {
      throw damaged(where, `its zip directory is broken at entry ${entries.length} of ${count}`);
    }
    const nameEnd = next + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const end = extraEnd + view.getUint16(at + 32, true);
    if (end > directory.length) {
      throw damaged(where, `its zip directory is cut off in entry ${entries.length} of ${count}`);
    }
    const name = new TextDecoder().decode(directory.subarray(next, nameEnd));
    if (names.has(name)) throw damaged(where, `its zip directory names ${name} twice`);
    names.add(name);
    entries.push(parseEntry(view, at, name, directory.subarray(nameEnd, extraEnd), where));
    at = end;
  }
  if (entries.length !== count) {
    throw damaged(where, `its zip directory has ${entries.length} entries, and says ${count}`);
  }
  return separate(entries, directoryBegin, where);
}

function parseEntry(
  view: DataView,
  at: number,
  name: string,
  extra: Uint8Array,
  where: string,
): DirectoryEntry {
  const method = view.getUint16(at + 10, true);
  const isEncrypted = (view.getUint16(at + 8, true) & FLAG_ENCRYPTED) !== 0;
  const wide = wideNumbers(extra);
  const number = (offset: number): number => {
    const value = view.getUint32(at + offset, true);
    return value === IN_EXTENSION ? (wide.shift() ?? IN_EXTENSION) : value;
  };
  // The extension holds those that did not fit, in this order.
  const [size, storedSize, begin] = [number(24), number(20), number(42)];
  if (method === METHODS.stored && !isEncrypted && storedSize !== size) {
    throw damaged(where, `${name} is stored as it is, but in ${storedSize} bytes instead of ${size}`);
  }
  return { name, size, storedSize, begin, method, isEncrypted, crc: view.getUint32(at + 16, true) };
}

/** The 64-bit numbers of the zip64 extension, or none. */
function wideNumbers(extra: Uint8Array): number[] {
  const view = viewOfBytes(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = Math.min(view.getUint16(at + 2, true), extra.length - at - 4);
    if (view.getUint16(at, true) === EXTRA_ZIP64) {
      return Array.from({ length: Math.floor(length / 8) }, (_, i) =>
        Number(view.getBigUint64(at + 4 + 8 * i, true)),
      );
    }
    at += 4 + length;
  }
  return [];
}

/** Gives each entry the place where the next one begins, and refuses those that reach beyond it. */
function separate(entries: readonly DirectoryEntry[], directoryBegin: number, where: string): StoredEntry[] {
  const inOrder = entries.toSorted((a, b) => a.begin - b.begin);
  return inOrder.map((entry, i) => {
    const limit = inOrder[i + 1]?.begin ?? directoryBegin;
    const end = entry.begin + LOCAL_BYTES + entry.storedSize;
    if (end > limit) {
      throw damaged(
        where,
        `${entry.name} reaches from byte ${entry.begin} to byte ${end}, but the next part of the archive begins at byte ${limit}`,
      );
    }
    return { ...entry, limit };
  });
}

function viewOfBytes({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
