/** @file The exponential moving average of the parameters. */
import * as v from 'valibot';
import { fraction } from '../../../core/values.ts';
import { averageName } from './average-name.ts';

export const exponentialSchema = v.strictObject({
  name: averageName,
  kind: v.literal('exponential'),
  decay: fraction,
  /** Lets the average follow quickly at first. */
  warmup: v.boolean(),
});

/**
 * Decay at update number `step`. With warm-up it is (1 + step) / (10 + step) until that exceeds `decay`, so that short
 * trainings do not average in their initial values.
 */
export function exponentialDecayAt(
  step: number,
  { decay, warmup }: Pick<v.InferOutput<typeof exponentialSchema>, 'decay' | 'warmup'>,
): number {
  return warmup ? Math.min(decay, (1 + step) / (10 + step)) : decay;
}
