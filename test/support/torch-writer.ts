/** @file Files as `torch.save` writes them, from TypeScript: sound ones, and all others that a test asks for. */
import { type Zippable, zipSync } from 'fflate';
import type { DType } from '../../src/core/dtype.ts';
import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import { type Shape, sizeOf, stridesOf } from '../../src/core/shape.ts';

export type Bytes = Uint8Array | readonly number[];

export function joinBytes(...pieces: readonly Bytes[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

/** Instructions of pickles, by their names in `pickletools`. Later ones use what earlier ones left on the stack. */
export const op = {
  none: utf8('N'),
  yes: [0x88],
  no: [0x89],
  emptyList: utf8(']'),
  emptyTuple: utf8(')'),
  emptyDict: utf8('}'),
  mark: utf8('('),
  tuple: utf8('t'),
  append: utf8('a'),
  appends: utf8('e'),
  setItem: utf8('s'),
  setItems: utf8('u'),
  reduce: utf8('R'),
  newObject: [0x81],
  build: utf8('b'),
  persistent: utf8('Q'),
  pop: utf8('0'),
  duplicate: utf8('2'),
  int: (value: number) => joinBytes(utf8('J'), int32(value)),
  float: (value: number) => joinBytes(utf8('G'), new Uint8Array(Float64Array.of(value).buffer).reverse()),
  text: (text: string) => joinBytes(utf8('X'), int32(utf8(text).length), utf8(text)),
  global: (module: string, name: string) => utf8(`c${module}\n${name}\n`),
  put: (index: number) => joinBytes(utf8('q'), [index]),
  get: (index: number) => joinBytes(utf8('h'), [index]),
} as const;

export function pickleOf(...instructions: readonly Bytes[]): Uint8Array {
  return joinBytes([0x80, 2], ...instructions, utf8('.'));
}

const tupleOf = (...items: readonly Bytes[]): Uint8Array => joinBytes(op.mark, ...items, op.tuple);

const STORAGE_TYPES: Readonly<Record<DType, string>> = {
  f32: 'FloatStorage',
  f64: 'DoubleStorage',
  i32: 'IntStorage',
  i64: 'LongStorage',
  u8: 'ByteStorage',
  i8: 'CharStorage',
  bool: 'BoolStorage',
};

export interface PickledTensor {
  readonly key: string;
  readonly dtype?: DType;
  /** Elements of the storage. */
  readonly length: number;
  readonly offset?: number;
  readonly shape: Shape;
  readonly strides?: readonly number[];
}

/** What a pickle holds in the place of a tensor. */
export function tensorInstructions(tensor: PickledTensor): Uint8Array {
  const { key, dtype = 'f32', length, offset = 0, shape, strides = stridesOf(shape) } = tensor;
  return joinBytes(
    op.global('torch._utils', '_rebuild_tensor_v2'),
    tupleOf(
      tupleOf(
        op.text('storage'),
        op.global('torch', STORAGE_TYPES[dtype]),
        op.text(key),
        op.text('cpu'),
        op.int(length),
      ),
      op.persistent,
      op.int(offset),
      tupleOf(...shape.map(op.int)),
      tupleOf(...strides.map(op.int)),
      op.no,
      op.global('collections', 'OrderedDict'),
      op.emptyTuple,
      op.reduce,
    ),
    op.reduce,
  );
}

export function dictInstructions(entries: Iterable<readonly [name: string, value: Bytes]>): Uint8Array {
  const items = [...entries].flatMap(([name, value]) => [op.text(name), value]);
  return joinBytes(op.emptyDict, op.mark, ...items, op.setItems);
}

export interface ArchiveParts {
  readonly pickle: Uint8Array;
  readonly storages: Readonly<Record<string, Uint8Array>>;
  /** Further files, by their names in the archive's folder. */
  readonly extras?: Readonly<Record<string, Uint8Array>>;
  readonly compressed?: boolean;
}

/** The format since PyTorch 1.6. */
export function torchArchive({
  pickle,
  storages,
  extras = {},
  compressed = false,
}: ArchiveParts): Uint8Array {
  const files: Zippable = { 'archive/data.pkl': pickle };
  for (const [key, bytes] of Object.entries(storages)) files[`archive/data/${key}`] = bytes;
  for (const [name, bytes] of Object.entries(extras)) files[`archive/${name}`] = bytes;
  return zipSync(files, { level: compressed ? 6 : 0 });
}

export interface LegacyParts {
  readonly pickle: Uint8Array;
  /** In the order of the file, with the number of elements that is written before each. */
  readonly storages: readonly (readonly [key: string, length: number, bytes: Uint8Array])[];
  readonly protocol?: number;
  readonly littleEndian?: boolean;
}

/** The format before PyTorch 1.6. */
export function torchLegacy({
  pickle,
  storages,
  protocol = 1001,
  littleEndian = true,
}: LegacyParts): Uint8Array {
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  const keys = storages.map(([key]) => op.text(key));
  return joinBytes(
    pickleOf(magic),
    pickleOf(op.int(protocol)),
    pickleOf(dictInstructions([['little_endian', littleEndian ? op.yes : op.no]])),
    pickle,
    pickleOf(op.emptyList, op.mark, ...keys, op.appends),
    ...storages.flatMap(([, length, bytes]) => [int32(length), int32(0), bytes]),
  );
}

/** A state dict, each tensor with a storage of its own. */
export function torchStateDict(tensors: TensorMap): Uint8Array {
  const all = [...tensors];
  const pickle = pickleOf(
    dictInstructions(all.map(([name, tensor], i) => [name, tensorOfKey(String(i), tensor)])),
  );
  const storages = Object.fromEntries(all.map(([, { data }], i) => [String(i), bytesOf(data)]));
  return torchArchive({ pickle, storages });
}

function tensorOfKey(key: string, { dtype, shape }: HostTensor): Uint8Array {
  return tensorInstructions({ key, dtype, length: sizeOf(shape), shape });
}

function bytesOf({ buffer, byteOffset, byteLength }: HostTensor['data']): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
