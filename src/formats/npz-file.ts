/** @file Archives of NumPy that are larger than memory: their arrays are read row by row. */
import { DataError } from '../core/errors.ts';
import type { HostTensor } from '../core/host-tensor.ts';
import { formatShape, type Shape, sizeOf } from '../core/shape.ts';
import type { ByteSource } from './byte-source.ts';
import { ofData } from './data-fault.ts';
import { NPY_HEADER_LIMIT, parseNpyHeader, storedTypeOf } from './npy.ts';
import { STORED_BYTES, storedTensor } from './stored-tensor.ts';
import { ZipArchive } from './zip.ts';

export interface NpzArray {
  readonly shape: Shape;
  /** Rows `begin` … `end − 1` of the first axis; by default all. */
  read(begin?: number, end?: number): Promise<HostTensor>;
}

export interface NpzFile {
  /** Their names, in the order of the archive. */
  readonly names: readonly string[];
  /** @throws DataError if there is none of this name, it is damaged, or of a type or order that is not read */
  array(name: string): Promise<NpzArray>;
}

/**
 * @param where what the user calls the file
 * @throws CheckpointError if the archive is damaged
 */
export async function openNpz(source: ByteSource, where: string): Promise<NpzFile> {
  const archive = await ZipArchive.open(source, where);
  const names = [...archive.entries.keys()].flatMap((file) =>
    file.endsWith('.npy') ? [file.slice(0, -4)] : [],
  );
  return { names, array: (name) => openArray(archive, name, where) };
}

async function openArray(archive: ZipArchive, name: string, where: string): Promise<NpzArray> {
  const file = `${name}.npy`;
  const entry = archive.entries.get(file);
  if (entry === undefined) {
    throw new DataError({
      where,
      problem: `there is no array ${name} in it, but ${[...archive.entries.keys()].join(', ') || 'none at all'}`,
      fix: 'give an archive that has it',
    });
  }
  const place = `${where}: ${name}`;
  const start = await archive.read(file, 0, Math.min(entry.size, NPY_HEADER_LIMIT));
  const header = parseNpyHeader(start, place);
  const { descriptor, shape, dataBegin, isFortranOrder } = header;
  const stored = storedTypeOf(header, place);
  const rowBytes = sizeOf(shape.slice(1)) * STORED_BYTES[stored];
  const bytes = sizeOf(shape) * STORED_BYTES[stored];
  if (isFortranOrder && shape.length > 1) {
    throw new DataError({
      where: place,
      problem: `its ${formatShape(shape)} values are in Fortran order, in which no row lies together`,
      fix: 'write it again with numpy.ascontiguousarray',
    });
  }
  if (entry.size - dataBegin !== bytes) {
    throw new DataError({
      where: place,
      problem: `an array ${descriptor.slice(1, -1)}${formatShape(shape)} takes ${bytes} bytes, but ${entry.size - dataBegin} are there`,
      fix: 'the file is damaged: copy or write it again',
    });
  }
  return {
    shape,
    async read(begin = 0, end = shape[0] ?? 1) {
      const part = await archive.read(file, dataBegin + begin * rowBytes, dataBegin + end * rowBytes);
      const rows = shape.length === 0 ? shape : [end - begin, ...shape.slice(1)];
      return ofData(() => storedTensor(stored, rows, part, place));
    },
  };
}
