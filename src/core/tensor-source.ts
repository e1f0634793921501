/** @file Tensors that are read when they are needed: a model's weights may take much of the memory there is. */
import type { DType } from './dtype.ts';
import type { HostTensor, TensorMap } from './host-tensor.ts';
import type { Shape } from './shape.ts';

/** What is known of a tensor before its values are read. */
export interface TensorInfo {
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface TensorSource {
  /** The tensors there are, in the order of the source. */
  readonly infos: ReadonlyMap<string, TensorInfo>;
  /**
   * The values of one tensor, whose name must be in `infos`. The source does not keep what it reads from a file; values
   * that are in memory already are shared.
   */
  read(name: string): Promise<HostTensor>;
}

/** Tensors that are in memory already. */
export function sourceOf(tensors: TensorMap): TensorSource {
  return { infos: tensors, read: async (name) => tensors.get(name)! };
}

/** Reads asked for at once: while one is checked or converted, others come from the disk. */
const READS_AT_ONCE = 8;

/** All tensors of a source, or those named, in this order. */
export async function readTensors(
  source: TensorSource,
  names: Iterable<string> = source.infos.keys(),
): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  const all = [...names];
  for (let i = 0; i < all.length; i += READS_AT_ONCE) {
    const some = all.slice(i, i + READS_AT_ONCE);
    const values = await Promise.all(some.map((name) => source.read(name)));
    for (const [k, name] of some.entries()) tensors.set(name, values[k]!);
  }
  return tensors;
}
