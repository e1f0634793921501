/** @file Refuses, before anything is allocated, images that no memory of this machine suffices for. */

import { formatBytes } from '../../core/byte-size.ts';
import { ConfigError } from '../../core/errors.ts';
import { heapLimit, memoryLimit } from '../../host/machine/memory-node.ts';

/** Of an image beside its values: class, number and path, in several lists. */
const LISTED_BYTES = 400;

/**
 * @param where - the flag or key that asks for them
 * @param keptBytes - of each image, until all are drawn; default none
 * @throws ConfigError for more images than can be listed and kept
 */
export function expectImagesFit(where: string, imageCount: number, keptBytes = 0): void {
  const most = Math.floor(Math.min(heapLimit() / LISTED_BYTES, memoryLimit() / (LISTED_BYTES + keptBytes)));
  if (imageCount <= most) return;
  const needed = formatBytes(imageCount * (LISTED_BYTES + keptBytes));
  throw new ConfigError({
    where,
    problem: `${imageCount.toLocaleString('en')} images at once need ${needed} of memory, which suffices for ${most.toLocaleString('en')}`,
    fix: 'draw fewer at once, and more with another seed',
  });
}

/**
 * @param bytesFor - what a worker takes for a batch of so many images
 * @throws ConfigError if there is too little memory for a batch, but not for a smaller one
 */
export function expectBatchFits(
  batchSize: number,
  bytesFor: (images: number) => number,
  limit = memoryLimit(),
): void {
  if (batchSize === 1) return;
  const needed = bytesFor(batchSize);
  if (needed <= limit) return;
  const one = bytesFor(1);
  const perFurther = (needed - one) / (batchSize - 1);
  const most = Math.max(1, 1 + Math.floor((limit - one) / perFurther));
  throw new ConfigError({
    where: '--batch-size',
    problem: `a batch of ${batchSize} images needs up to ${formatBytes(needed)} of memory, there are ${formatBytes(limit)}`,
    fix: `use --batch-size ${most} or less`,
  });
}
