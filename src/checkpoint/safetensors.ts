/**
 * @file The safetensors format: an 8-byte header size, a JSON header, then the values, little-endian and without gaps.
 * https://github.com/huggingface/safetensors#format
 *
 * Values are read and written in host order; every platform that runs JavaScript engines of today is little-endian.
 */
import * as v from 'valibot';
import type { DType } from '../core/dtype.ts';
import { CheckpointError } from '../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../core/host-tensor.ts';
import { formatShape, sizeOf } from '../core/shape.ts';
import { describeForeignFile } from './foreign-file.ts';
import { bfloatsToFloats, floatsToHalves, HALF_MAX, halvesToFloats } from './half.ts';
import { viewOf } from './view.ts';

export interface SafetensorsFile {
  /** In the order of their data in the file. */
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

export interface SafetensorsOptions {
  /** How f32 tensors are stored; default `f32`. Other element types are kept. */
  readonly floats?: 'f32' | 'f16';
}

const SIZE_BYTES = 8;
/** The limit of the reference implementation, which keeps a broken size field from asking for all memory. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = '__metadata__';

const STORED_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U8: 1, BOOL: 1 } as const;
type StoredDType = keyof typeof STORED_BYTES;

const STORED_AS: Readonly<Record<DType, StoredDType>> = {
  f32: 'F32',
  f64: 'F64',
  i32: 'I32',
  i64: 'I64',
  u8: 'U8',
  bool: 'BOOL',
};

const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.strictObject({
  dtype: v.string(),
  shape: v.array(countSchema),
  data_offsets: v.tuple([countSchema, countSchema]),
});
const metadataSchema = v.record(v.string(), v.string());

interface Entry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** Byte offsets from the first value of the file. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a whole file. F16 and BF16 are widened to f32; other values are views into `bytes` where they are aligned.
 *
 * @param where what the user calls the file
 * @throws CheckpointError unless the header is sound and its tensors cover the values exactly
 */
export function parseSafetensors(bytes: Uint8Array, where: string): SafetensorsFile {
  const { header, dataBegin } = parseHeader(bytes, where);
  const data = bytes.subarray(dataBegin);

  const { [METADATA_KEY]: metadata = {}, ...rest } = header;
  if (!v.is(metadataSchema, metadata)) {
    throw damaged(where, `${METADATA_KEY} must map text to text`);
  }
  const entries = Object.entries(rest).map(([name, entry]) => parseEntry(name, entry, where));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, data.length, where);

  const tensors = new Map(entries.map((entry) => [entry.name, readTensor(entry, data)]));
  return { tensors, metadata };
}

/**
 * The chunks of a file, in order; their concatenation is the file. Tensors keep their order in the map, and their data
 * is not copied unless it is narrowed to f16.
 *
 * @throws CheckpointError when a finite value does not fit f16
 */
export function serialiseSafetensors(
  tensors: TensorMap,
  metadata: Readonly<Record<string, string>>,
  { floats = 'f32' }: SafetensorsOptions = {},
): Uint8Array[] {
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

function parseHeader(
  bytes: Uint8Array,
  where: string,
): { header: Record<string, unknown>; dataBegin: number } {
  if (bytes.length === 0) throw damaged(where, 'the file is empty');
  if (bytes.length < SIZE_BYTES) {
    throw damaged(where, `the file has ${bytes.length} bytes, but its header size alone takes ${SIZE_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) {
    throw notSafetensors(bytes, headerBytes, where);
  }
  const dataBegin = SIZE_BYTES + headerBytes;
  if (dataBegin > bytes.length) {
    throw damaged(where, `the header ends at byte ${dataBegin}, but the file has ${bytes.length} bytes`);
  }
  return { header: parseJsonObject(bytes.subarray(SIZE_BYTES, dataBegin), where), dataBegin };
}

function parseJsonObject(bytes: Uint8Array, where: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw damaged(where, `the header of ${bytes.length} bytes is not JSON`, cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw damaged(where, 'the header is JSON, but not an object');
  }
  return header as Record<string, unknown>;
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
  if (!Object.hasOwn(STORED_BYTES, dtype)) {
    throw new CheckpointError({
      where,
      problem: `tensor ${name} has the element type ${dtype}, which is not supported`,
      fix: `convert it to one of ${Object.keys(STORED_BYTES).join(', ')}`,
    });
  }
  const storedDType = dtype as StoredDType;
  const byteLength = sizeOf(shape) * STORED_BYTES[storedDType];
  if (end - begin !== byteLength) {
    throw damaged(
      where,
      `tensor ${name}: ${dtype}${formatShape(shape)} takes ${byteLength} bytes, but has the bytes ${begin} to ${end}`,
    );
  }
  return { name, dtype: storedDType, shape, begin, end };
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

function readTensor({ dtype, shape, begin, end }: Entry, data: Uint8Array): HostTensor {
  const bytes = data.subarray(begin, end);
  switch (dtype) {
    case 'F64':
      return hostTensor('f64', shape, viewOf(Float64Array, bytes));
    case 'F32':
      return hostTensor('f32', shape, viewOf(Float32Array, bytes));
    case 'F16':
      return hostTensor('f32', shape, halvesToFloats(viewOf(Uint16Array, bytes)));
    case 'BF16':
      return hostTensor('f32', shape, bfloatsToFloats(viewOf(Uint16Array, bytes)));
    case 'I64':
      return hostTensor('i64', shape, viewOf(BigInt64Array, bytes));
    case 'I32':
      return hostTensor('i32', shape, viewOf(Int32Array, bytes));
    case 'U8':
      return hostTensor('u8', shape, viewOf(Uint8Array, bytes));
    case 'BOOL':
      return hostTensor('bool', shape, viewOf(Uint8Array, bytes));
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

function notSafetensors(bytes: Uint8Array, headerBytes: number, where: string): CheckpointError {
  const foreign = describeForeignFile(bytes);
  if (foreign !== undefined) {
    return new CheckpointError({
      where,
      problem: `not a safetensors file, but ${foreign.kind}`,
      fix: foreign.fix,
    });
  }
  return new CheckpointError({
    where,
    problem: `not a safetensors file: its first 8 bytes give a header of ${headerBytes} bytes, of at most ${MAX_HEADER_BYTES}`,
    fix: 'give a .safetensors file',
  });
}

function damaged(where: string, problem: string, cause?: unknown): CheckpointError {
  return new CheckpointError({ where, problem, fix: 'the file is damaged: copy or write it again', cause });
}
