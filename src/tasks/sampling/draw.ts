/** @file Which pictures are drawn, in which order, and how they are looked at. */
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { fold, permutation, randomKey } from '../../core/random.ts';

/** Which pictures to draw: their classes, and their numbers, which decide their noise. */
export interface Draw {
  readonly labels: readonly number[];
  readonly indices: readonly number[];
}

/** A picture of a class. */
export interface WantedImage {
  readonly label: number;
  /** Number within the class, from 0. */
  readonly index: number;
}

/** Class after class, `count` of each. */
export function imagesPerClass(labels: readonly number[], count: number): WantedImage[] {
  return labels.flatMap((label) => Array.from({ length: count }, (_, index) => ({ label, index })));
}

/** The classes mixed, in an order that depends on the seed: any part of it is a fair sample of the whole. */
export function shuffled<T>(images: readonly T[], seed: number): T[] {
  return Array.from(permutation(fold(randomKey(seed), 'order'), images.length), (i) => images[i]!);
}

/** Each image gets a number of its own, so that it is the same one in every draw that it is in. */
export function drawOfImages(images: readonly WantedImage[], numClasses: number): Draw {
  return {
    labels: images.map(({ label }) => label),
    indices: images.map(({ label, index }) => index * numClasses + label),
  };
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

/** So many of each class, class after class. */
export function drawOf(counts: readonly number[]): Draw {
  const images = counts.flatMap((count, label) => imagesPerClass([label], count));
  return drawOfImages(images, counts.length);
}

/** As they would be shown: nothing beyond black and white. */
export function shown({ shape, data }: HostTensor<'f32'>): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    data.map((value) => Math.max(-1, Math.min(1, value))),
  );
}
