/**
 * @file The safetensors format: an 8-byte header size, a JSON header, then the values, little-endian and without gaps.
 * https://github.com/huggingface/safetensors#format
 *
 * Values are read and written in host order; every platform that runs JavaScript engines of today is little-endian.
 */
import * as v from 'valibot';
import type { DType } from '../core/dtype.ts';
import { CheckpointError } from '../core/errors.ts';
import type { HostTensor, TensorMap } from '../core/host-tensor.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { formatShape, type Shape, sizeOf } from '../core/shape.ts';
import type { ByteSource } from './byte-source.ts';
import { describeCertainly, describeForeignFile, FOREIGN_BYTES, type ForeignFile } from './foreign-file.ts';
import { floatsToHalves, HALF_MAX } from './half.ts';
import { READ_AS, STORED_BYTES, type StoredDType, storedTensor } from './stored-tensor.ts';
import { damaged, type TensorFile } from './tensor-file.ts';

export interface SafetensorsFile {
  /** In the order of their data in the file. */
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** A file whose tensors can also be read in parts. */
export interface SafetensorsSource extends TensorFile {
  /** Rows `first … first + count - 1` of a tensor, along its first axis. */
  readRows(name: string, first: number, count: number): Promise<HostTensor>;
}

export interface SafetensorsOptions {
  /** How f32 tensors are stored; default `f32`. Other element types are kept. */
  readonly floats?: 'f32' | 'f16';
}

const SAFETENSORS_OPTIONS: OptionTable<SafetensorsOptions> = {
  floats: 'optional',
};

const SIZE_BYTES = 8;
/** The limit of the reference implementation, which keeps a broken size field from asking for all memory. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = '__metadata__';

const STORED_AS: Readonly<Record<DType, StoredDType>> = {
  f32: 'F32',
  f64: 'F64',
  i32: 'I32',
  i64: 'I64',
  u8: 'U8',
  i8: 'I8',
  bool: 'BOOL',
};

const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.strictObject({
  dtype: v.string(),
  shape: v.array(countSchema),
  data_offsets: v.tuple([countSchema, countSchema]),
});
const metadataSchema = v.record(v.string(), v.string());

/** Bits of elements that are no plain numbers or share bytes; of another type the size is not known. */
const UNREAD_BITS: Readonly<Record<string, number>> = { C64: 64, F4: 4, F6_E2M3: 6, F6_E3M2: 6 };

interface Entry {
  readonly name: string;
  /** {@link StoredDType}, or one that is not read. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Byte offsets from the first value of the file. */
  readonly begin: number;
  readonly end: number;
}

interface Header {
  /** In the order of their data. */
  readonly entries: readonly Entry[];
  readonly metadata: Record<string, string>;
}

/**
 * Reads a whole file. F16 and BF16 are widened to f32; other values are views into `bytes` where they are aligned.
 *
 * @param where what the user calls the file
 * @throws CheckpointError unless the header is sound and its tensors cover the values exactly
 */
export function parseSafetensors(file: Uint8Array | ArrayBuffer, where = 'safetensors'): SafetensorsFile {
  const bytes = file instanceof ArrayBuffer ? new Uint8Array(file) : file;
  const dataBegin = findData(bytes, bytes.length, where);
  const data = bytes.subarray(dataBegin);
  const { entries, metadata } = parseHeader(bytes.subarray(SIZE_BYTES, dataBegin), data.length, where);
  const tensors = new Map(
    entries.map((entry) => {
      const { name, shape, begin, end } = entry;
      if (!isRead(entry)) throw unreadable(entry, where);
      return [name, storedTensor(entry.dtype, shape, data.subarray(begin, end), `${where}: ${name}`)];
    }),
  );
  return { tensors, metadata };
}

/**
 * The same for a file of any size: only its header is read here, and each tensor when it is asked for.
 *
 * @throws CheckpointError unless the header is sound and its tensors cover the values exactly
 */
export async function openSafetensors(source: ByteSource, where: string): Promise<SafetensorsSource> {
  const start = await source.read(0, Math.min(source.size, FOREIGN_BYTES));
  const dataBegin = findData(start, source.size, where);
  const json = await source.read(SIZE_BYTES, dataBegin);
  const { entries, metadata } = parseHeader(json, source.size - dataBegin, where);
  const read = entries.filter(isRead);
  const byName = new Map(read.map((entry) => [entry.name, entry]));
  const readBytes = async ({ name, dtype }: (typeof read)[number], shape: Shape, begin: number) => {
    const at = dataBegin + begin;
    const bytes = await source.read(at, at + sizeOf(shape) * STORED_BYTES[dtype]);
    return storedTensor(dtype, shape, bytes, `${where}: ${name}`);
  };
  return {
    format: 'safetensors',
    metadata,
    infos: new Map(read.map(({ name, dtype, shape }) => [name, { dtype: READ_AS[dtype], shape }])),
    unreadable: new Map(
      entries.filter((entry) => !isRead(entry)).map(({ name, dtype }) => [name, notRead(dtype)]),
    ),
    read: (name) => {
      const entry = byName.get(name)!;
      return readBytes(entry, entry.shape, entry.begin);
    },
    readRows: (name, first, count) => {
      const entry = byName.get(name)!;
      const [rows = 0, ...row] = entry.shape;
      if (first < 0 || first + count > rows) {
        throw new RangeError(
          `tensor ${name} has ${rows} rows: there are no rows ${first} to ${first + count - 1}`,
        );
      }
      return readBytes(entry, [count, ...row], entry.begin + first * sizeOf(row) * STORED_BYTES[entry.dtype]);
    },
  };
}

/**
 * The chunks of a file, in order; their concatenation is the file. Tensors keep their order in the map, and their data
 * is not copied unless it is narrowed to f16.
 *
 * @throws ConfigError for an option that does not exist
 * @throws CheckpointError when a finite value does not fit f16
 */
export function serialiseSafetensors(
  tensors: TensorMap,
  metadata: Readonly<Record<string, string>>,
  options: SafetensorsOptions = {},
): Uint8Array[] {
  expectOptions(options, 'serialiseSafetensors', SAFETENSORS_OPTIONS);
  const { floats = 'f32' } = options;
  // Written member by member: an object would move names that look like array indices to the front.
  const members = [`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(metadata)}`];
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of tensors) {
    if (name === METADATA_KEY) {
      throw new CheckpointError({
        where: 'serialiseSafetensors',
        problem: `a tensor cannot be named ${METADATA_KEY}`,
      });
    }
    const isNarrowed = floats === 'f16' && tensor.dtype === 'f32';
    const data = isNarrowed ? narrow(name, tensor as HostTensor<'f32'>) : tensor.data;
    const end = offset + data.byteLength;
    const dtype = isNarrowed ? 'F16' : STORED_AS[tensor.dtype];
    members.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape: tensor.shape, data_offsets: [offset, end] })}`,
    );
    chunks.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset = end;
  }

  const header = new TextEncoder().encode(`{${members.join(',')}}`);
  const headerBytes = Math.ceil(header.length / 8) * 8;
  const prefix = new Uint8Array(SIZE_BYTES + headerBytes).fill(0x20);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(headerBytes), true);
  prefix.set(header, SIZE_BYTES);
  return [prefix, ...chunks];
}

/**
 * Where the values begin, from the header size that a file starts with.
 *
 * @param start - the first bytes of the file, at least as many as tell it from other formats
 */
function findData(start: Uint8Array, fileBytes: number, where: string): number {
  if (fileBytes === 0) throw damaged(where, 'the file is empty');
  if (fileBytes < SIZE_BYTES) {
    const foreign = describeForeignFile(start);
    if (foreign !== undefined) throw otherKind(foreign, where);
    throw damaged(where, `the file has ${fileBytes} bytes, but its header size alone takes ${SIZE_BYTES}`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) {
    throw notSafetensors(start, headerBytes, where);
  }
  const dataBegin = SIZE_BYTES + headerBytes;
  if (dataBegin > fileBytes) {
    const foreign = describeCertainly(start);
    if (foreign !== undefined) throw otherKind(foreign, where);
    throw damaged(where, `the header ends at byte ${dataBegin}, but the file has ${fileBytes} bytes`);
  }
  return dataBegin;
}

function parseHeader(json: Uint8Array, dataBytes: number, where: string): Header {
  const { [METADATA_KEY]: given, ...rest } = parseJsonObject(json, where);
  const metadata = given ?? {};
  if (!v.is(metadataSchema, metadata)) {
    throw damaged(where, `${METADATA_KEY} must map text to text`);
  }
  const entries = Object.entries(rest).map(([name, entry]) => parseEntry(name, entry, where));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, dataBytes, where);
  return { entries, metadata };
}

function parseJsonObject(bytes: Uint8Array, where: string): Record<string, unknown> {
  let header: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    throw damaged(where, `the header of ${bytes.length} bytes is not JSON`, cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw damaged(where, 'the header is JSON, but not an object');
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) throw damaged(where, `the header names ${twice} twice`);
  return header as Record<string, unknown>;
}

/** The first key that an object of objects has twice: of such keys JavaScript keeps the last in silence. */
function repeatedKey(json: string): string | undefined {
  const keys = new Set<string>();
  let depth = 0;
  for (const [token] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/gs)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (depth === 1) {
      const key = JSON.parse(token) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function parseEntry(name: string, value: unknown, where: string): Entry {
  const parsed = v.safeParse(entrySchema, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw damaged(
      where,
      `tensor ${name}: ${v.getDotPath(issue) ?? 'entry'}: expected ${issue.expected}, received ${issue.received}`,
    );
  }
  const {
    dtype,
    shape,
    data_offsets: [begin, end],
  } = parsed.output;
  const bits = Object.hasOwn(STORED_BYTES, dtype)
    ? 8 * STORED_BYTES[dtype as StoredDType]
    : Object.hasOwn(UNREAD_BITS, dtype)
      ? UNREAD_BITS[dtype]!
      : undefined;
  const byteLength = bits === undefined ? end - begin : Math.ceil((sizeOf(shape) * bits) / 8);
  if (end - begin !== byteLength || byteLength < 0) {
    throw damaged(
      where,
      `tensor ${name}: ${dtype}${formatShape(shape)} takes ${byteLength} bytes, but has the bytes ${begin} to ${end}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isRead<E extends Entry>(entry: E): entry is E & { readonly dtype: StoredDType } {
  return Object.hasOwn(STORED_BYTES, entry.dtype);
}

function notRead(dtype: string): string {
  return `has the element type ${dtype}, of those that are not read: convert it to one of ${Object.keys(STORED_BYTES).join(', ')}`;
}

function unreadable({ name, dtype }: Entry, where: string): CheckpointError {
  return new CheckpointError({
    where,
    problem: `tensor ${name} has the element type ${dtype}, which is not supported`,
    fix: `convert it to one of ${Object.keys(STORED_BYTES).join(', ')}`,
  });
}

/** Entries, sorted by offset, must follow each other without gap or overlap up to the end of the file. */
function checkCoverage(entries: readonly Entry[], dataBytes: number, where: string): void {
  let offset = 0;
  let previous = 'the header';
  for (const { name, begin, end } of entries) {
    if (begin < offset)
      throw damaged(
        where,
        `tensors ${previous} and ${name} overlap: bytes ${begin} to ${offset} belong to both`,
      );
    if (begin > offset)
      throw damaged(where, `bytes ${offset} to ${begin} between ${previous} and ${name} belong to no tensor`);
    offset = end;
    previous = name;
  }
  if (offset > dataBytes) {
    throw damaged(
      where,
      `the file is truncated: its tensors take ${offset} bytes, but ${dataBytes} are there`,
    );
  }
  if (offset < dataBytes) {
    throw damaged(where, `${dataBytes - offset} bytes after the last tensor belong to no tensor`);
  }
}

function narrow(name: string, tensor: HostTensor<'f32'>): Uint16Array {
  const halves = floatsToHalves(tensor.data);
  const overflow = halves.findIndex(
    (half, i) => (half & 0x7fff) === 0x7c00 && Number.isFinite(tensor.data[i]!),
  );
  if (overflow >= 0) {
    throw new CheckpointError({
      where: 'serialiseSafetensors',
      problem: `tensor ${name} holds ${tensor.data[overflow]} at index ${overflow}, beyond ±${HALF_MAX} of half precision`,
      fix: 'store the floats as f32',
    });
  }
  return halves;
}

function notSafetensors(start: Uint8Array, headerBytes: number, where: string): CheckpointError {
  const foreign = describeForeignFile(start);
  if (foreign !== undefined) return otherKind(foreign, where);
  return new CheckpointError({
    where,
    problem: `not a safetensors file: its first 8 bytes give a header of ${headerBytes} bytes, the limit is ${MAX_HEADER_BYTES}`,
    fix: 'give a .safetensors file',
  });
}

function otherKind({ kind, isWeights = false, fix }: ForeignFile, where: string): CheckpointError {
  const problem = `this is not ${isWeights ? 'a safetensors file' : 'weights'} but ${kind}`;
  return new CheckpointError({ where, problem, fix });
}
