/** @file All pictures or latents in one archive that NumPy reads. */
import { type HostTensor, tensorOf } from '../../../core/host-tensor.ts';
import { serialiseNpz, UNNAMED_ARRAY } from '../../../formats/npz.ts';
import { writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import type { Sink } from './sink.ts';

/** Writes `arr_0` with all pictures, and `labels` i64[N]. */
export function archiveFile(path: string, labels: readonly number[]): Sink {
  const parts: (HostTensor<'u8'> | HostTensor<'f32'>)[] = [];
  return {
    async put({ pictures }) {
      parts.push(pictures);
    },
    async close() {
      const { dtype, shape } = parts[0]!;
      const values = parts.flatMap(({ data }) => Array.from(data));
      const arrays = new Map<string, HostTensor>([
        [UNNAMED_ARRAY, tensorOf(dtype, [labels.length, ...shape.slice(1)], values)],
        ['labels', tensorOf('i64', [labels.length], labels)],
      ]);
      await writeFileAtomic(path, [serialiseNpz(arrays)]);
      return { paths: [path] };
    },
  };
}
