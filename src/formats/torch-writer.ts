/**
 * @file Tensors as `torch.save({'name': tensor, …})` writes them: a zip archive with a pickle and a file of values for each
 * tensor. https://docs.pytorch.org/docs/stable/notes/serialization.html
 */
import type { HostTensor } from '../core/host-tensor.ts';
import { sizeOf, stridesOf } from '../core/shape.ts';
import { crc32 } from './crc32.ts';
import { endOfArchive, localHeader, type StoredFile } from './zip-records.ts';

/** Of the archive's one folder, as PyTorch calls it. */
const FOLDER = 'archive';

/** @returns the file's content in pieces, which `torch.load` reads with `weights_only` too */
export function serialiseTorch(tensors: ReadonlyMap<string, HostTensor<'f32'>>): Uint8Array[] {
  const values = [...tensors.values()].map(({ data }, key): [string, Uint8Array] => [
    `data/${key}`,
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  ]);
  return storedArchive([
    ['data.pkl', pickled(tensors)],
    ['byteorder', encoded('little')],
    ...values,
    ['version', encoded('3\n')],
  ]);
}

function storedArchive(contents: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const files: StoredFile[] = [];
  let begin = 0;
  for (const [name, bytes] of contents) {
    const file = { name: `${FOLDER}/${name}`, size: bytes.length, crc: crc32(bytes) };
    const header = localHeader(file);
    files.push({ ...file, begin });
    pieces.push(header, bytes);
    begin += header.length + bytes.length;
  }
  return [...pieces, endOfArchive(files, begin)];
}

/** Instructions of protocol 2, by their names in Python's `pickletools`. */
const OP = {
  protocol2: Uint8Array.of(0x80, 2),
  mark: encoded('('),
  emptyDict: encoded('}'),
  emptyTuple: encoded(')'),
  tuple: encoded('t'),
  setItems: encoded('u'),
  reduce: encoded('R'),
  persistentId: encoded('Q'),
  newFalse: Uint8Array.of(0x89),
  stop: encoded('.'),
};

/** A dictionary from names to tensors, whose values are in the archive's other files. */
function pickled(tensors: ReadonlyMap<string, HostTensor<'f32'>>): Uint8Array {
  const items = [...tensors].flatMap(([name, { shape }], key) => {
    const storage = [text('storage'), global('torch', 'FloatStorage'), text(`${key}`), text('cpu')];
    return [
      text(name),
      global('torch._utils', '_rebuild_tensor_v2'),
      ...tuple(
        ...tuple(...storage, int32(sizeOf(shape))),
        OP.persistentId,
        int32(0), // where its values begin in the storage
        ...tuple(...shape.map(int32)),
        ...tuple(...stridesOf(shape).map(int32)),
        OP.newFalse, // requires_grad
        global('collections', 'OrderedDict'), // no hooks
        OP.emptyTuple,
        OP.reduce,
      ),
      OP.reduce,
    ];
  });
  const instructions = [OP.protocol2, OP.emptyDict, OP.mark, ...items, OP.setItems, OP.stop];
  return Uint8Array.from(instructions.flatMap((bytes) => [...bytes]));
}

function tuple(...items: readonly Uint8Array[]): Uint8Array[] {
  return [OP.mark, ...items, OP.tuple];
}

function int32(value: number): Uint8Array {
  return Uint8Array.of(0x4a, value, value >> 8, value >> 16, value >> 24);
}

function text(value: string): Uint8Array {
  const bytes = encoded(value);
  const { length } = bytes;
  return Uint8Array.of(0x58, length, length >> 8, length >> 16, length >> 24, ...bytes);
}

function global(module: string, name: string): Uint8Array {
  return encoded(`c${module}\n${name}\n`);
}

function encoded(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
