/**
 * @file How much of a feature map lies in each octave of spatial frequency: the energies of its discrete cosine
 * transform, summed over all coefficients between a side and half of it. A cosine transform rather than a Fourier
 * transform, because it does not take the step from one edge of the map to the opposite one for a high frequency.
 *
 * N images · C channels · S side of the map · K octaves
 */
import { constantOf, linear, mean, reshape, square, transpose } from '../../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../../engine/graph/tensor.ts';

/** Cosines from number `from` up to, not including, number `to`; cosine k makes k / 2 cycles over the map. */
export interface Octave {
  readonly from: number;
  readonly to: number;
}

/**
 * The octaves of a map of this side: the mean alone, then each reaching twice as far as the one before, so that the last
 * is what a map of half the side cannot hold.
 */
export function octavesOf(side: number): readonly Octave[] {
  const octaves: Octave[] = [];
  for (let to = side; to > 1; to = Math.ceil(to / 2)) octaves.unshift({ from: Math.ceil(to / 2), to });
  return [{ from: 0, to: 1 }, ...octaves];
}

/**
 * Mean square of the values in each octave, [K], of maps [N, S, S, C]. Together they are the mean square of all values,
 * since the transform is orthonormal. A product of two cosines counts by the higher one.
 */
export function octaveEnergies(maps: Tensor): Unlabelled {
  const side = maps.shape[1]!;
  const basis = constantOf([side, side], cosineBasis(side));
  const rowsDone = linear(transpose(maps, [0, 3, 1, 2]), basis); // (N, C, S, k)
  const coefficients = linear(transpose(rowsDone, [0, 1, 3, 2]), basis); // (N, C, k, l)
  const energies = mean(square(coefficients), [0, 1]); // (k, l)
  const octaves = octavesOf(side);
  const membership = constantOf(
    [octaves.length, side * side],
    octaves.flatMap((octave) => membersOf(octave, side)),
  );
  return reshape(linear(reshape(energies, [1, side * side]), membership), [octaves.length]);
}

/** Row k is cosine k of the orthonormal DCT-II, [S, S]. */
function cosineBasis(side: number): number[] {
  return Array.from({ length: side * side }, (_, i) => {
    const [k, position] = [Math.floor(i / side), i % side];
    const norm = Math.sqrt((k === 0 ? 1 : 2) / side);
    return norm * Math.cos((Math.PI * k * (2 * position + 1)) / (2 * side));
  });
}

/** For each pair of cosines the weight with which its mean square counts: 1 / S² makes sums means. */
function membersOf({ from, to }: Octave, side: number): number[] {
  return Array.from({ length: side * side }, (_, i) => {
    const highest = Math.max(Math.floor(i / side), i % side);
    return highest >= from && highest < to ? 1 / (side * side) : 0;
  });
}
