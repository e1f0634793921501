/** @file The augmentation that suits nearly every picture: left and right exchanged half of the time. */
import { fold, type RandomKey, uniform } from '../../core/random.ts';

/** A fair coin per key. */
export function isMirrored(key: RandomKey): boolean {
  return uniform(fold(key, 'mirror'), 1)[0]! < 0.5;
}
