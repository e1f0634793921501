/** @file How a file holds the parameters of a model: as one tensor each, in parts, or in equal copies. */
import { CheckpointError } from '../core/errors.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import { formatShape, type Shape, sameShape } from '../core/shape.ts';
import type { TensorInfo } from '../core/tensor-source.ts';

/** The tensors of one parameter. */
export interface StoredParameter {
  readonly names: readonly string[];
  /** Are they equal copies? Otherwise they are parts, one after the other along the first axis. */
  readonly areCopies: boolean;
}

/** By checkpoint key. */
export type StoredParameters = ReadonlyMap<string, StoredParameter>;

/**
 * Shape of the whole parameter; undefined while a tensor of it is not among `infos`.
 *
 * @throws CheckpointError for parts that do not join, and for copies of several shapes
 */
export function infoOf(
  { names, areCopies }: StoredParameter,
  infos: ReadonlyMap<string, TensorInfo>,
  where: string,
): TensorInfo | undefined {
  const found = names.map((name) => infos.get(name));
  const [first] = found;
  if (first === undefined || found.length === 1) return first;
  const rest = (shape: Shape): Shape => (areCopies ? shape : shape.slice(1));
  for (const [i, other] of found.entries()) {
    if (other === undefined) return undefined;
    if (!sameShape(rest(other.shape), rest(first.shape)))
      throw unfit(names, i, first.shape, other.shape, where);
  }
  if (areCopies) return first;
  const length = found.reduce((sum, info) => sum + (info!.shape[0] ?? 0), 0);
  return { ...first, shape: [length, ...rest(first.shape)] };
}

/**
 * The values of the whole parameter.
 *
 * @param read - reads one tensor of the file
 * @throws CheckpointError for copies that differ
 */
export async function readStored(
  { names, areCopies }: StoredParameter,
  read: (name: string) => Promise<HostTensor<'f32'>>,
  where: string,
): Promise<HostTensor<'f32'>> {
  const [name, ...others] = names as [string, ...string[]];
  const first = await read(name);
  if (others.length === 0) return first;
  if (areCopies) {
    for (const other of others) if (!sameValues(await read(other), first)) throw differ(name, other, where);
    return first;
  }
  const parts = [first, ...(await Promise.all(others.map(read)))];
  const values = new Float32Array(parts.reduce((sum, { data }) => sum + data.length, 0));
  let length = 0;
  let offset = 0;
  for (const { data, shape } of parts) {
    values.set(data, offset);
    offset += data.length;
    length += shape[0]!;
  }
  return hostTensor('f32', [length, ...first.shape.slice(1)], values);
}

/** All of them finite, so that equal values have equal numbers. */
function sameValues(a: HostTensor<'f32'>, b: HostTensor<'f32'>): boolean {
  // By index: there are as many tables of classes as blocks.
  for (let i = 0; i < a.data.length; i++) if (a.data[i] !== b.data[i]) return false;
  return true;
}

function unfit(
  names: readonly string[],
  i: number,
  first: Shape,
  other: Shape,
  where: string,
): CheckpointError {
  return new CheckpointError({
    where,
    problem: `${names[0]} ${formatShape(first)} and ${names[i]} ${formatShape(other)} belong to one parameter, but do not fit together`,
    fix: 'the file is damaged, or of another model',
  });
}

function differ(name: string, other: string, where: string): CheckpointError {
  return new CheckpointError({
    where,
    problem: `${other} holds other values than ${name}, but the network has one for all blocks`,
    fix: 'give weights that were converted from the original; those trained with an embedder per block are of another network',
  });
}
