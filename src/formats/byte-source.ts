/** @file Bytes that can be read at any place: a file on disk, a `Blob` of a browser, or what is in memory. */

export interface ByteSource {
  readonly size: number;
  /** The bytes from `begin` up to `end`, which lie within the source. */
  read(begin: number, end: number): Promise<Uint8Array>;
  /** The platform's own CRC-32, where it has one: that of Node is four times as fast as one in JavaScript. */
  readonly crc32?: (bytes: Uint8Array, previous?: number) => number;
}

/** Reads are views, not copies. */
export function bytesInMemory(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: async (begin, end) => bytes.subarray(begin, end) };
}

/** A `File` is a `Blob` too. */
export function bytesOfBlob(blob: Blob): ByteSource {
  return {
    size: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
  };
}
