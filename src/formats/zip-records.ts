/**
 * @file The records of a zip archive whose files are stored as they are, with 64-bit extensions where something lies
 * beyond 4 GiB. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

/** A file in an archive. */
export interface StoredFile {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  /** Where its own header begins. */
  readonly begin: number;
}

export const END_SIGNATURE = 0x06054b50;
export const END_BYTES = 22;
export const END64_LOCATOR_SIGNATURE = 0x07064b50;
export const END64_LOCATOR_BYTES = 20;
export const END64_SIGNATURE = 0x06064b50;
export const END64_BYTES = 56;
export const DIRECTORY_SIGNATURE = 0x02014b50;
export const DIRECTORY_BYTES = 46;
export const LOCAL_SIGNATURE = 0x04034b50;
export const LOCAL_BYTES = 30;
export const EXTRA_ZIP64 = 1;
/** In 32-bit fields: the number is in the 64-bit extension. */
export const IN_EXTENSION = 0xffffffff;
/** In 16-bit fields: the number is in the 64-bit record. */
const IN_RECORD = 0xffff;
/** Version 4.5 of the format, the first with 64-bit extensions. */
const VERSION = 45;
/** One fixed time, the earliest that an archive can hold, so that the same files give the same bytes: 1 January 1980. */
const EARLIEST_DATE = (1 << 5) | 1;
/** Signature and length of an extension. */
const EXTENSION_BYTES = 4;

/** Bytes that the header of a file takes: always with 64-bit sizes, as NumPy writes it, so that it does not depend on them. */
export function localHeaderBytes(name: string): number {
  return LOCAL_BYTES + encoded(name).length + EXTENSION_BYTES + 16;
}

/** The header in front of a file's content. */
export function localHeader({ name, size, crc }: Omit<StoredFile, 'begin'>): Uint8Array {
  return record(localHeaderBytes(name), (to) => {
    to.u32(LOCAL_SIGNATURE);
    to.u16(VERSION);
    common(to, { name, size: IN_EXTENSION, crc });
    to.u16(EXTENSION_BYTES + 16);
    to.bytes(encoded(name));
    extension(to, [size, size]);
  });
}

/** The longest comment of an archive, in bytes. */
export const MOST_COMMENT_BYTES = 0xffff;

/** What stands behind the last file: the directory, where it is, and the archive's comment. */
export function endOfArchive(files: readonly StoredFile[], begin: number, comment = ''): Uint8Array {
  const note = encoded(comment);
  const entries = files.map(directoryEntry);
  const size = entries.reduce((sum, { length }) => sum + length, 0);
  const is64 = begin + size > IN_EXTENSION || files.length > IN_RECORD;
  const records = is64 ? END64_BYTES + END64_LOCATOR_BYTES : 0;
  return record(size + records + END_BYTES + note.length, (to) => {
    for (const entry of entries) to.bytes(entry);
    if (is64) {
      to.u32(END64_SIGNATURE);
      to.u64(END64_BYTES - 12); // of what follows
      to.u16(VERSION);
      to.u16(VERSION);
      to.u32(0); // this disk, the directory's disk
      to.u32(0);
      to.u64(files.length);
      to.u64(files.length);
      to.u64(size);
      to.u64(begin);
      to.u32(END64_LOCATOR_SIGNATURE);
      to.u32(0); // disk of the record
      to.u64(begin + size);
      to.u32(1); // disks
    }
    to.u32(END_SIGNATURE);
    to.u32(0);
    to.u16(is64 ? IN_RECORD : files.length);
    to.u16(is64 ? IN_RECORD : files.length);
    to.u32(is64 ? IN_EXTENSION : size);
    to.u32(is64 ? IN_EXTENSION : begin);
    to.u16(note.length);
    to.bytes(note);
  });
}

/**
 * @param end - the last bytes of an archive, at least as many as its end record has
 * @returns its comment; undefined where no end record is found
 */
export function commentOf(end: Uint8Array): string | undefined {
  const view = new DataView(end.buffer, end.byteOffset, end.byteLength);
  for (let at = end.length - END_BYTES; at >= 0; at--) {
    const isEnd = view.getUint32(at, true) === END_SIGNATURE;
    if (isEnd && at + END_BYTES + view.getUint16(at + END_BYTES - 2, true) === end.length)
      return new TextDecoder().decode(end.subarray(at + END_BYTES));
  }
  return undefined;
}

function directoryEntry({ name, size, crc, begin }: StoredFile): Uint8Array {
  const is64 = size >= IN_EXTENSION || begin >= IN_EXTENSION;
  const wide = is64 ? [size, size, begin] : [];
  const extra = is64 ? EXTENSION_BYTES + 8 * wide.length : 0;
  return record(DIRECTORY_BYTES + encoded(name).length + extra, (to) => {
    to.u32(DIRECTORY_SIGNATURE);
    to.u16(VERSION);
    to.u16(VERSION);
    common(to, { name, size: is64 ? IN_EXTENSION : size, crc });
    to.u16(extra);
    to.u16(0); // comment
    to.u32(0); // disk, attributes
    to.u32(0);
    to.u32(is64 ? IN_EXTENSION : begin);
    to.bytes(encoded(name));
    if (is64) extension(to, wide);
  });
}

/** From the flags to the length of the name, alike in both kinds of header. */
function common(to: RecordWriter, { name, size, crc }: Omit<StoredFile, 'begin'>): void {
  to.u16(0); // flags
  to.u16(0); // stored
  to.u16(0); // midnight
  to.u16(EARLIEST_DATE);
  to.u32(crc);
  to.u32(size);
  to.u32(size);
  to.u16(encoded(name).length);
}

function extension(to: RecordWriter, numbers: readonly number[]): void {
  to.u16(EXTRA_ZIP64);
  to.u16(8 * numbers.length);
  for (const number of numbers) to.u64(number);
}

function encoded(name: string): Uint8Array {
  return new TextEncoder().encode(name);
}

/** Writes numbers one after another, the lowest byte first. */
class RecordWriter {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer);
  }

  u16(value: number): void {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  u64(value: number): void {
    this.#view.setBigUint64(this.#at, BigInt(value), true);
    this.#at += 8;
  }

  bytes(values: Uint8Array): void {
    new Uint8Array(this.#view.buffer).set(values, this.#at);
    this.#at += values.length;
  }
}

function record(length: number, write: (to: RecordWriter) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new RecordWriter(bytes));
  return bytes;
}
