/** @file Results where the caller wants them, for sessions that compute in memory of their own. */
import type { TensorMap } from '../../core/host-tensor.ts';

/** The results, those that `fetches` names copied into its buffers. */
export function intoBuffers(results: TensorMap, fetches: TensorMap | undefined): TensorMap {
  if (fetches === undefined) return results;
  return new Map(
    [...results].map(([name, value]) => {
      const buffer = fetches.get(name);
      if (buffer === undefined) return [name, value];
      (buffer.data as Float32Array).set(value.data as Float32Array);
      return [name, buffer];
    }),
  );
}
