/**
 * @file Checkpoints as `torch.save` writes them. Since PyTorch 1.6 they are zip archives of a pickle, `data.pkl`, and a
 * file `data/<key>` per storage; before, five pickles and then the storages, one after another.
 * https://docs.pytorch.org/docs/stable/notes/serialization.html
 */
import { CheckpointError } from '../core/errors.ts';
import type { HostTensor } from '../core/host-tensor.ts';
import { sizeOf, stridesOf } from '../core/shape.ts';
import type { ByteSource } from './byte-source.ts';
import { type PickleHost, type PickleValue, unpickle } from './pickle.ts';
import { STORED_BYTES, storedTensor } from './stored-tensor.ts';
import { damaged } from './tensor-file.ts';
import { TorchObjects, type TorchStorage, type TorchTensor } from './torch-objects.ts';
import { viewOf } from './view.ts';
import { ZipArchive } from './zip.ts';

export interface TorchFile {
  readonly format: string;
  /** What was given to `torch.save`, with a {@link TorchTensor} in the place of each tensor. */
  readonly root: PickleValue;
  /** Classes and functions of whose results nothing was built. */
  readonly passedOver: readonly string[];
  /** The values of a tensor of this file, row-major. */
  read(tensor: TorchTensor): Promise<HostTensor>;
}

/** Some bytes of a storage, counted from its beginning. */
type StorageReader = (storage: TorchStorage, begin: number, end: number) => Promise<Uint8Array>;

/** The largest that PyTorch writes for the models of today is one of 5 MB. */
const MAX_PICKLE_BYTES = 2 ** 26;

const ZIP_START = [0x50, 0x4b, 3, 4];
/** Bytes at the start of a file that tell what it is. */
export const TELLING_BYTES = 16;
const LATEST_PROTOCOL = 5;
/** The magic number of files before PyTorch 1.6, as pickles of protocols 0 and 1 have it. */
const MAGIC_TEXT = Array.from('L1195470371', (char) => char.charCodeAt(0));

/** @param start - the first {@link TELLING_BYTES} of the file, or all of it */
export function startsLikeTorch(start: Uint8Array): boolean {
  return startsWith(start, ZIP_START) || startsLikePickle(start);
}

/** A header of safetensors may begin with the same two bytes; six bytes later its JSON does. */
function startsLikePickle(start: Uint8Array): boolean {
  const hasProtocol = start[0] === 0x80 && start[1]! <= LATEST_PROTOCOL && start[8] !== 0x7b;
  return hasProtocol || startsWith(start, MAGIC_TEXT);
}

/**
 * Opens a file of `torch.save`. Only the pickle is read here, and each tensor when it is asked for.
 *
 * @param where what the user calls the file
 * @throws CheckpointError if it is damaged, asks for more than data, or was not written by `torch.save`
 */
export async function openTorch(source: ByteSource, where: string): Promise<TorchFile> {
  const start = await source.read(0, Math.min(source.size, TELLING_BYTES));
  if (startsWith(start, ZIP_START)) return openArchive(source, where);
  if (startsLikePickle(start)) return openLegacy(source, where);
  throw new CheckpointError({
    where,
    problem: 'not a file of torch.save: it begins neither as a zip archive nor as a pickle',
    fix: 'give a .pt file',
  });
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, i) => bytes[i] === byte);
}

// Zip archives

async function openArchive(source: ByteSource, where: string): Promise<TorchFile> {
  const archive = await ZipArchive.open(source, where);
  const folder = await findFolder(archive, where);
  const pickleName = `${folder}data.pkl`;
  const { size } = archive.entries.get(pickleName)!;
  if (size > MAX_PICKLE_BYTES) {
    throw damaged(where, `${pickleName} takes ${size} bytes, the limit is ${MAX_PICKLE_BYTES}`);
  }
  const objects = new TorchObjects(where);
  const pickle = unpickle(await archive.read(pickleName), objects, where);
  if (pickle === undefined)
    throw damaged(where, `${pickleName} of ${size} bytes ends before its pickle does`);
  for (const storage of objects.storages.values()) checkEntry(archive, folder, storage, where);
  return {
    format: 'PyTorch',
    root: pickle.value,
    passedOver: [...objects.passedOver],
    read: (tensor) =>
      readTensor(tensor, where, (storage, ...range) => archive.read(entryName(folder, storage), ...range)),
  };
}

/** The one folder of the archive that has a `data.pkl` in it, with a slash at its end; nothing if it is the topmost. */
async function findFolder(archive: ZipArchive, where: string): Promise<string> {
  const names = [...archive.entries.keys()];
  const folder = names.find((name) => /^([^/]+\/)?data\.pkl$/.test(name))?.slice(0, -'data.pkl'.length);
  if (folder === undefined) {
    throw new CheckpointError({
      where,
      problem: `a zip archive without a data.pkl, so torch.save did not write it; it has ${names.length} files${names.length === 0 ? '' : ` such as ${names[0]}`}`,
      fix: 'give a .pt file, or a .safetensors file',
    });
  }
  if (archive.entries.has(`${folder}constants.pkl`)) {
    throw new CheckpointError({
      where,
      problem: 'a TorchScript program, not a checkpoint',
      fix: 'save the weights alone: torch.save(torch.jit.load(path).state_dict(), path)',
    });
  }
  const orderName = `${folder}byteorder`;
  const order = archive.entries.has(orderName) ? await archive.read(orderName) : undefined;
  if (order !== undefined && new TextDecoder().decode(order).trim() !== 'little') throw bigEndian(where);
  return folder;
}

function checkEntry(archive: ZipArchive, folder: string, storage: TorchStorage, where: string): void {
  const entry = archive.entries.get(entryName(folder, storage));
  if (entry?.size === storage.bytes) return;
  const size = entry === undefined ? 'is not there' : `has ${entry.size}`;
  throw damaged(
    where,
    `storage ${storage.key} of ${storage.type} takes ${storage.bytes} bytes, but ${entryName(folder, storage)} ${size}`,
  );
}

function entryName(folder: string, { key }: TorchStorage): string {
  return `${folder}data/${key}`;
}

function bigEndian(where: string): CheckpointError {
  return new CheckpointError({
    where,
    problem: 'its numbers are stored with the most significant byte first',
    fix: 'load and save it in PyTorch on a little-endian machine, as nearly all are',
  });
}

// Files before PyTorch 1.6

/** What the first two pickles hold. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;
/** An 8-byte length is written before each storage. */
const LENGTH_BYTES = 8;

async function openLegacy(source: ByteSource, where: string): Promise<TorchFile> {
  const reader = new PickleReader(source, where);
  const nothing = new TorchObjects(where);
  const magic = await reader.next(nothing);
  const protocol = magic === LEGACY_MAGIC ? await reader.next(nothing) : undefined;
  if (protocol !== LEGACY_PROTOCOL) {
    throw new CheckpointError({
      where,
      problem: 'a Python pickle, but not one of torch.save',
      fix: 'give a .pt file, or a .safetensors file',
    });
  }
  const system = await reader.next(nothing);
  if (!(system instanceof Map) || system.get('little_endian') !== true) throw bigEndian(where);
  const objects = new TorchObjects(where);
  const root = await reader.next(objects);
  const keys = await reader.next(nothing);
  const begins = await findStorages(source, reader.position, keys, objects.storages, where);
  const readStorage: StorageReader = (storage, begin, end) => {
    const at = begins.get(storage.key)!;
    return source.read(at + begin, at + end);
  };
  return {
    format: 'PyTorch before 1.6',
    root,
    passedOver: [...objects.passedOver],
    read: (tensor) => readTensor(tensor, where, readStorage),
  };
}

/** Reads pickles that follow one another, none of which says how long it is. */
class PickleReader {
  position = 0;
  private bytes: Uint8Array = new Uint8Array(0);
  private readonly source: ByteSource;
  private readonly where: string;

  constructor(source: ByteSource, where: string) {
    this.source = source;
    this.where = where;
  }

  async next(host: PickleHost): Promise<PickleValue> {
    for (;;) {
      const pickle = unpickle(this.bytes, host, this.where, this.position);
      if (pickle !== undefined) {
        this.position = pickle.end;
        return pickle.value;
      }
      const available = Math.min(this.source.size, MAX_PICKLE_BYTES);
      if (this.bytes.length === available) {
        throw damaged(this.where, `its pickle does not end within its first ${available} bytes`);
      }
      // Doubled, so that starting again costs no more than once through all of it.
      const size = Math.min(Math.max(2 * this.bytes.length, 2 ** 16), available);
      this.bytes = await this.source.read(0, size);
    }
  }
}

/** Where the elements of each storage begin. They lie in the order of `keys`, up to the end of the file. */
async function findStorages(
  source: ByteSource,
  begin: number,
  keys: PickleValue,
  storages: ReadonlyMap<string, TorchStorage>,
  where: string,
): Promise<Map<string, number>> {
  const begins = new Map<string, number>();
  let position = begin;
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = typeof key === 'string' && !begins.has(key) ? storages.get(key) : undefined;
    if (storage === undefined) throw damaged(where, 'its list of storages is not that of its tensors');
    const dataBegin = position + LENGTH_BYTES;
    const end = dataBegin + storage.bytes;
    if (end > source.size) {
      throw damaged(where, `storage ${storage.key} ends at byte ${end}, but the file has ${source.size}`);
    }
    const [length] = viewOf(BigInt64Array, await source.read(position, dataBegin));
    if (length !== BigInt(storage.length)) {
      throw damaged(
        where,
        `storage ${storage.key} has ${length} elements by its own length, ${storage.length} by its tensors`,
      );
    }
    begins.set(storage.key, dataBegin);
    position = end;
  }
  if (begins.size < storages.size) throw damaged(where, 'its list of storages is not that of its tensors');
  if (position < source.size) {
    throw damaged(where, `${source.size - position} bytes after its last storage belong to none`);
  }
  return begins;
}

// Tensors

async function readTensor(
  tensor: TorchTensor,
  where: string,
  readStorage: StorageReader,
): Promise<HostTensor> {
  const { storage, dtype, offset, shape } = tensor;
  const elementBytes = STORED_BYTES[dtype];
  const span = await readStorage(storage, offset * elementBytes, (offset + tensor.span) * elementBytes);
  const values = isRowMajor(tensor) ? span : gather(tensor, span, elementBytes);
  return storedTensor(dtype, shape, values, `${where}: storage ${storage.key}`);
}

/** Axes of length 1 may have any stride. */
function isRowMajor({ shape, strides }: TorchTensor): boolean {
  if (sizeOf(shape) === 0) return true;
  const expected = stridesOf(shape);
  return strides.every((stride, axis) => shape[axis] === 1 || stride === expected[axis]);
}

const ELEMENT_ARRAYS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/** The elements of a tensor in row-major order. */
function gather(
  { shape, strides }: TorchTensor,
  span: Uint8Array,
  elementBytes: keyof typeof ELEMENT_ARRAYS,
): Uint8Array {
  const ElementArray = ELEMENT_ARRAYS[elementBytes];
  const from = viewOf<Uint8Array | Uint16Array | Uint32Array | BigUint64Array>(ElementArray, span);
  const to = new ElementArray(sizeOf(shape));
  const rowLength = shape.at(-1)!;
  const rowStride = strides.at(-1)!;
  const index = shape.map(() => 0);
  let rowBegin = 0;
  for (let i = 0; i < to.length; ) {
    for (let k = 0; k < rowLength; k++) to[i++] = from[rowBegin + k * rowStride]!;
    // The next row: the last axis but one counts up, and carries.
    for (let axis = shape.length - 2; axis >= 0; axis--) {
      rowBegin += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      rowBegin -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return new Uint8Array(to.buffer);
}
