/** @file Which pictures are drawn for a measurement, and how they are looked at. */
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';

/** Which pictures to draw: their classes, and their numbers, which decide their noise. */
export interface Draw {
  readonly labels: readonly number[];
  readonly indices: readonly number[];
}

/** `total` pictures with as large a share of each class as it has among `classCounts` pictures (largest remainders). */
export function drawInProportion(classCounts: readonly number[], total: number): Draw {
  const pictures = classCounts.reduce((sum, count) => sum + count, 0);
  const exact = classCounts.map((count) => (count * total) / pictures);
  const counts = exact.map(Math.floor);
  const byRemainder = [...exact.keys()].sort((a, b) => (exact[b]! % 1) - (exact[a]! % 1));
  const missing = total - counts.reduce((sum, count) => sum + count, 0);
  for (const label of byRemainder.slice(0, missing)) counts[label]!++;
  return drawOf(counts);
}

/** So many of each class. A picture is the same one in every draw that it is in. */
export function drawOf(counts: readonly number[]): Draw {
  const wanted = counts.flatMap((count, label) => Array.from({ length: count }, (_, i) => ({ label, i })));
  return {
    labels: wanted.map(({ label }) => label),
    indices: wanted.map(({ label, i }) => i * counts.length + label),
  };
}

/** As they would be shown: nothing beyond black and white. */
export function shown({ shape, data }: HostTensor<'f32'>): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    data.map((value) => Math.max(-1, Math.min(1, value))),
  );
}
