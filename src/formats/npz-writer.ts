/**
 * @file Writes an `.npz` archive piece by piece: its arrays are known beforehand by name, type and shape, so that each
 * byte has its place before the first value is there. Stored, of any size.
 */
import { BYTES_PER_ELEMENT, type DType } from '../core/dtype.ts';
import { ConfigError } from '../core/errors.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import { crc32 as portableCrc32 } from './crc32.ts';
import { npyHeader } from './npy.ts';
import { endOfArchive, localHeader, localHeaderBytes, MOST_COMMENT_BYTES } from './zip-records.ts';

export interface ArrayForm {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Where an array lies in an archive, and how far it has been written. */
interface ArrayPlace {
  readonly name: string;
  /** Where its zip header begins. */
  readonly begin: number;
  readonly header: Uint8Array;
  readonly valuesBegin: number;
  readonly valueBytes: number;
  written: number;
  /** Of header and values so far. */
  crc: number;
}

export interface NpzTarget {
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** What readers pass over: the comment of the zip archive, at most 64 KiB. */
  readonly comment?: string;
  /** The platform's own, where it has one. */
  readonly crc32?: (bytes: Uint8Array, previous?: number) => number;
}

export class NpzWriter {
  /** Of the whole archive. */
  readonly byteLength: number;
  readonly #target: NpzTarget;
  readonly #arrays: ReadonlyMap<string, ArrayPlace>;
  /** Where the archive's directory begins. */
  readonly #end: number;
  readonly #crc32: (bytes: Uint8Array, previous?: number) => number;

  /** @param arrays - in their order in the archive */
  constructor(arrays: readonly ArrayForm[], target: NpzTarget) {
    const commentBytes = new TextEncoder().encode(target.comment).length;
    if (commentBytes > MOST_COMMENT_BYTES) {
      throw new ConfigError({
        where: 'archive',
        problem: `its comment has ${commentBytes} bytes, a zip archive can have ${MOST_COMMENT_BYTES}`,
        fix: 'shorten the facts that it states',
      });
    }
    this.#target = target;
    this.#crc32 = target.crc32 ?? portableCrc32;
    const places = new Map<string, ArrayPlace>();
    let begin = 0;
    for (const { name, dtype, shape } of arrays) {
      const header = npyHeader(dtype, shape);
      const valuesBegin = begin + localHeaderBytes(fileName(name)) + header.length;
      const valueBytes = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
      const crc = this.#crc32(header);
      places.set(name, { name, begin, header, valuesBegin, valueBytes, written: 0, crc });
      begin = valuesBegin + valueBytes;
    }
    this.#arrays = places;
    this.#end = begin;
    this.byteLength = begin + this.#directory().length;
  }

  /** Where the values of an array begin in the archive. */
  valuesBegin(name: string): number {
    return this.#arrays.get(name)!.valuesBegin;
  }

  /** Checksum of an array's header and of its values so far. */
  checksum(name: string): number {
    return this.#arrays.get(name)!.crc;
  }

  /** The next values of an array, as bytes. */
  async append(name: string, values: Uint8Array): Promise<void> {
    const { valuesBegin, written } = this.#expectRoom(name, values.length);
    await this.#target.write(values, valuesBegin + written);
    this.skip(name, values);
  }

  /** The next values of an array are in the file already. */
  skip(name: string, values: Uint8Array): void {
    const place = this.#expectRoom(name, values.length);
    place.written += values.length;
    place.crc = this.#crc32(values, place.crc);
  }

  /** Writes all that is no value, once all values are there. */
  async finish(): Promise<void> {
    for (const { name, begin, header, valuesBegin, valueBytes, written, crc } of this.#arrays.values()) {
      if (written !== valueBytes) throw new Error(`${written} of ${valueBytes} bytes of ${name} are written`);
      const size = header.length + valueBytes;
      await this.#target.write(localHeader({ name: fileName(name), size, crc }), begin);
      await this.#target.write(header, valuesBegin - header.length);
    }
    await this.#target.write(this.#directory(), this.#end);
  }

  /** What {@link finish} writes last, where it begins. With the values it depends on each of their bytes. */
  end(): { readonly bytes: Uint8Array; readonly begin: number } {
    return { bytes: this.#directory(), begin: this.#end };
  }

  #expectRoom(name: string, bytes: number): ArrayPlace {
    const place = this.#arrays.get(name)!;
    const { written, valueBytes } = place;
    if (written + bytes > valueBytes)
      throw new Error(`${written + bytes} bytes for ${name}, which has ${valueBytes}`);
    return place;
  }

  #directory(): Uint8Array {
    const files = [...this.#arrays.values()].map(({ name, begin, header, valueBytes, crc }) => ({
      ...{ name: fileName(name), size: header.length + valueBytes, crc, begin },
    }));
    return endOfArchive(files, this.#end, this.#target.comment);
  }
}

function fileName(array: string): string {
  return `${array}.npy`;
}
