/** @file Class tables for other classes than they were trained for. */
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import type { Shape } from '../../../core/shape.ts';
import type { TensorSource } from '../../../core/tensor-source.ts';

/** What the tables of classes begin with that do not fit: random numbers, or the average of the classes in the file. */
export type ClassTableStart = 'new' | 'average';

export interface Classes {
  /** At least as many as have names. */
  readonly count: number;
  readonly names: readonly string[];
}

export interface ClassTable {
  readonly name: string;
  /** [classes, width]; with a row more, the last one, where the network knows a hidden class. */
  readonly shape: Shape;
}

/**
 * The row of a file's tables that each class begins with, where rows of its tables are to be moved: that of its name, if
 * all have one. Otherwise classes of another number may begin with the average of all (undefined) where the file has none
 * of the name.
 *
 * @returns undefined if tables that fit are taken as they are, and others are not
 */
export function rowsOfClasses(
  ofNetwork: Classes,
  ofFile: Classes,
  start: ClassTableStart,
): readonly (number | undefined)[] | undefined {
  const rows = Array.from({ length: ofNetwork.count }, (_, i) => {
    const name = ofNetwork.names[i];
    const row = name === undefined ? -1 : ofFile.names.indexOf(name);
    return row < 0 ? undefined : row;
  });
  const isSameNumber = ofNetwork.count === ofFile.count;
  if (isSameNumber && rows.every((row, i) => row === i)) return undefined;
  const areAllNamed = rows.length > 0 && rows.every((row) => row !== undefined);
  return areAllNamed || (start === 'average' && !isSameNumber) ? rows : undefined;
}

/**
 * The weights of a file with tables for other classes: each class begins with its row or, where that is undefined, with
 * the average of those of the file, and the hidden class with its own row.
 *
 * @param classes - how many the file has, and the row of each class of the network
 */
export function withClassRows(
  weights: TensorSource,
  tables: readonly ClassTable[],
  classes: { readonly inFile: number; readonly rows: readonly (number | undefined)[] },
): TensorSource {
  const shapes = new Map(tables.map(({ name, shape }) => [name, shape]));
  return {
    infos: new Map([
      ...weights.infos,
      ...tables.map(({ name, shape }) => [name, { dtype: 'f32', shape }] as const),
    ]),
    async read(name) {
      const shape = shapes.get(name);
      const tensor = await weights.read(name);
      return shape === undefined ? tensor : tableOfRows(tensor as HostTensor<'f32'>, shape, classes);
    },
  };
}

function tableOfRows(
  { shape: [given = 0, width = 0], data }: HostTensor<'f32'>,
  shape: Shape,
  { inFile, rows }: { readonly inFile: number; readonly rows: readonly (number | undefined)[] },
): HostTensor<'f32'> {
  const sums = new Float64Array(width);
  for (let i = 0; i < inFile * width; i++) sums[i % width]! += data[i]!;
  const mean = Float32Array.from(sums, (sum) => sum / inFile);
  const rowOf = (row: number | undefined) =>
    row === undefined ? mean : data.subarray(row * width, (row + 1) * width);
  const hidden = rowOf(given > inFile ? inFile : undefined);
  const table = new Float32Array(shape[0]! * width);
  for (let row = 0; row < shape[0]!; row++) {
    table.set(row < rows.length ? rowOf(rows[row]) : hidden, row * width);
  }
  return hostTensor('f32', shape, table);
}
