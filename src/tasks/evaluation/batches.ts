/** @file Pictures and latents in batches: no more of them are in memory. */
import type { HostTensor } from '../../core/host-tensor.ts';
import { loadBatch, type Samples } from '../../data/datasets/samples.ts';

/** What `read` gives for positions `begin … end − 1`, for batches of at most `size` from `start` on. */
export async function* inBatches<T>(
  { start, count, size }: { readonly start: number; readonly count: number; readonly size: number },
  read: (begin: number, end: number) => Promise<T>,
): AsyncGenerator<T> {
  for (let begin = start; begin < count; begin += size)
    yield await read(begin, Math.min(begin + size, count));
}

/** Samples as they are, in their order: f32 [N, C, H, W]. */
export function samplesInBatches(
  samples: Samples,
  start: number,
  size: number,
): AsyncGenerator<HostTensor<'f32'>> {
  return inBatches({ start, count: samples.length, size }, async (begin, end) => {
    const indices = Array.from({ length: end - begin }, (_, i) => begin + i);
    return (await loadBatch(samples, indices, null)).x;
  });
}
