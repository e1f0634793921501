/** @file One array as NumPy stores it: a header in Python's notation, then the values. numpy.lib.format, versions 1 to 3. */
import type { DType, TypedArrays } from '../core/dtype.ts';
import { DataError } from '../core/errors.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import { formatShape, type Shape, sizeOf, stridesOf } from '../core/shape.ts';
import { ofData } from './data-fault.ts';
import { STORED_BYTES, type StoredDType, storedTensor } from './stored-tensor.ts';

/** Element types that are read. */
const STORED = {
  '|u1': 'U8',
  '|i1': 'I8',
  '|b1': 'BOOL',
  '<f2': 'F16',
  '<f4': 'F32',
  '<f8': 'F64',
  '<i2': 'I16',
  '<i4': 'I32',
  '<i8': 'I64',
  '<u2': 'U16',
  '<u4': 'U32',
  '<u8': 'U64',
} as const satisfies Record<string, StoredDType>;
type Descriptor = keyof typeof STORED;

const DESCRIPTORS: Readonly<Record<DType, Descriptor>> = {
  u8: '|u1',
  i8: '|i1',
  bool: '|b1',
  f32: '<f4',
  f64: '<f8',
  i32: '<i4',
  i64: '<i8',
};

const MAGIC = '\x93NUMPY';
const MAX_AXES = 64;
/** No header of arrays of numbers is longer. */
export const NPY_HEADER_LIMIT = 4096;
/** NumPy aligns the values to this, so that the file can be mapped into memory. */
const ALIGNMENT = 64;

/** A sound array whose elements are of a type that is not read: objects, text, records, … */
export class UnsupportedElements extends DataError {}

/** What stands before the values. */
export interface NpyHeader {
  /** Element type in Python's notation: `'<f4'`, `'|O'`; a record's is a list. */
  readonly descriptor: string;
  readonly isFortranOrder: boolean;
  readonly shape: Shape;
  readonly dataBegin: number;
}

/**
 * Reads an `.npy` file. Values are views into `bytes` where they are aligned and of a type in memory, which is the next
 * wider one else: `<f2` becomes f32. Arrays in Fortran order are reordered.
 *
 * @param where what the user calls the file
 * @throws DataError when the file is damaged or its elements are of a type that is not supported
 */
export function parseNpy(bytes: Uint8Array, where: string): HostTensor {
  const header = parseNpyHeader(bytes, where);
  const { descriptor, isFortranOrder, shape, dataBegin } = header;
  const stored = storedTypeOf(header, where);
  const data = bytes.subarray(dataBegin);
  const neededBytes = sizeOf(shape) * STORED_BYTES[stored];
  if (data.length !== neededBytes) {
    throw new DataError({
      where,
      problem: `an array ${descriptor.slice(1, -1)}${formatShape(shape)} takes ${neededBytes} bytes, but ${data.length} are there`,
      fix: 'the file is damaged: copy or write it again',
    });
  }
  const tensor = ofData(() => storedTensor(stored, shape, data, where));
  return isFortranOrder ? toRowMajor(tensor) : tensor;
}

/** What stands before the values in an `.npy` file of version 1. */
export function npyHeader(dtype: DType, shape: Shape): Uint8Array {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${DESCRIPTORS[dtype]}', 'fortran_order': False, 'shape': (${axes}), }`;
  const prefixBytes = MAGIC.length + 4;
  const headerBytes = Math.ceil((prefixBytes + text.length + 1) / ALIGNMENT) * ALIGNMENT - prefixBytes;
  const header = Uint8Array.from(`${MAGIC}\x01\x00\x00\x00${text.padEnd(headerBytes - 1)}\n`, (char) =>
    char.charCodeAt(0),
  );
  new DataView(header.buffer).setUint16(MAGIC.length + 2, headerBytes, true);
  return header;
}

/**
 * The element type, if it is one that is read.
 *
 * @throws UnsupportedElements
 */
export function storedTypeOf({ descriptor: written }: NpyHeader, where: string): StoredDType {
  const descriptor = written.slice(1, -1);
  if (Object.hasOwn(STORED, descriptor)) return STORED[descriptor as Descriptor];
  throw new UnsupportedElements({
    where,
    problem: `arrays of element type ${written} are not supported`,
    fix: `convert it with astype to one of ${Object.keys(STORED).join(' ')}`,
  });
}

/** @throws DataError when it is no `.npy` file, or its header is damaged */
export function parseNpyHeader(bytes: Uint8Array, where: string): NpyHeader {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) {
    throw new DataError({
      where,
      problem: 'not an .npy array: it does not begin with \\x93NUMPY',
      fix: 'give a file that NumPy wrote',
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = bytes[MAGIC.length] ?? 0;
  // Version 1 has a 16-bit header size, 2 and 3 (which only allows UTF-8 in field names) have 32 bits.
  const sizeBytes = major === 1 ? 2 : 4;
  const headerBegin = MAGIC.length + 2 + sizeBytes;
  if (bytes.length < headerBegin)
    throw headerError(where, `the header is cut off after ${bytes.length} bytes`);
  if (major < 1 || major > 3) throw headerError(where, `format version ${major} is unknown: 1 to 3 are read`);
  const headerBytes =
    major === 1 ? view.getUint16(MAGIC.length + 2, true) : view.getUint32(MAGIC.length + 2, true);
  const dataBegin = headerBegin + headerBytes;
  if (bytes.length < dataBegin) {
    throw headerError(where, `the header ends at byte ${dataBegin}, but the file has ${bytes.length} bytes`);
  }
  const text = new TextDecoder().decode(bytes.subarray(headerBegin, dataBegin));
  return { ...parseDictionary(text.trim(), where), dataBegin };
}

/** NumPy always writes the same three keys, so that its own parser of Python literals is not needed here. */
function parseDictionary(text: string, where: string): Omit<NpyHeader, 'dataBegin'> {
  const descriptor = /'descr':\s*('[^']*'|\[.*\])/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  // Python 2 ends whole numbers in an L.
  const axes = /'shape':\s*\(([\dL,\s]*)\)/.exec(text)?.[1];
  if (descriptor === undefined || order === undefined || axes === undefined) {
    throw headerError(where, `the header lacks descr, fortran_order or shape: ${text.slice(0, 200)}`);
  }
  const lengths = axes.split(',').map((axis) => axis.trim());
  if (lengths.at(-1) === '') lengths.pop();
  if (lengths.length > MAX_AXES || !lengths.every((length) => /^\d+L?$/.test(length))) {
    throw headerError(where, `the header has no shape, but (${axes.slice(0, 200)})`);
  }
  const shape = lengths.map((length) => Number.parseInt(length, 10));
  return { descriptor, isFortranOrder: order === 'True', shape };
}

function headerError(where: string, problem: string): DataError {
  return new DataError({ where, problem, fix: 'the file is damaged: copy or write it again' });
}

/** Reorders values that were stored with the first axis running fastest. */
function toRowMajor<D extends DType>({ dtype, shape, data }: HostTensor<D>): HostTensor<D> {
  const strides = stridesOf(shape);
  const lengths = [...shape];
  const reordered = data.slice() as TypedArrays[D];
  for (let from = 0; from < data.length; from++) {
    let rest = from;
    let to = 0;
    for (const [axis, length] of lengths.entries()) {
      to += (rest % length) * strides[axis]!;
      rest = Math.floor(rest / length);
    }
    reordered[to] = data[from]!;
  }
  return hostTensor(dtype, shape, reordered);
}
