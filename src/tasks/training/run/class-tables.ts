/** @file Class tables for another number of classes than they were trained for. */
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import type { Shape } from '../../../core/shape.ts';
import type { TensorSource } from '../../../core/tensor-source.ts';

/** What the tables of classes begin with that do not fit: random numbers, or the average of the classes in the file. */
export type ClassTableStart = 'new' | 'average';

export interface ResizedTable {
  readonly name: string;
  /** [classes, width]; with a row more, the last one, where the network knows a hidden class. */
  readonly shape: Shape;
}

/**
 * The weights of a file with tables for other classes: each class begins with the average of those of the file, and the
 * hidden class with its own row.
 *
 * @param classes - in the file, and in the network
 */
export function withAveragedClasses(
  weights: TensorSource,
  tables: readonly ResizedTable[],
  classes: { readonly inFile: number; readonly inNetwork: number },
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
      return shape === undefined ? tensor : averaged(tensor as HostTensor<'f32'>, shape, classes);
    },
  };
}

function averaged(
  { shape: [rows = 0, width = 0], data }: HostTensor<'f32'>,
  shape: Shape,
  { inFile, inNetwork }: { readonly inFile: number; readonly inNetwork: number },
): HostTensor<'f32'> {
  const sums = new Float64Array(width);
  for (let i = 0; i < inFile * width; i++) sums[i % width]! += data[i]!;
  const mean = Float32Array.from(sums, (sum) => sum / inFile);
  const hidden = rows > inFile ? data.subarray(inFile * width, (inFile + 1) * width) : mean;
  const table = new Float32Array(shape[0]! * width);
  for (let row = 0; row < shape[0]!; row++) table.set(row < inNetwork ? mean : hidden, row * width);
  return hostTensor('f32', shape, table);
}
