import { expect, it } from 'vitest';
import { fold, randomKey } from '../../core/random.ts';
import { isMirrored } from './mirror.ts';

it('isMirrored is a fair coin', () => {
  const keys = Array.from({ length: 400 }, (_, i) => fold(randomKey(5), i));
  expect(Math.abs(keys.filter(isMirrored).length - 200)).toBeLessThan(50); // five standard deviations
});
