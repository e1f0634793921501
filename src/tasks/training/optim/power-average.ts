/**
 * @file The power-function average of EDM2 (Karras et al. 2024, section 3.1). The parameters of step s weigh s^γ: its
 * width is a share of the whole training, however long that is.
 */
import * as v from 'valibot';
import { averageName } from './average-name.ts';

/** Near that of γ = 0, the mean of all steps (1/√12); a wider average would be of the earliest. */
const WIDEST = 0.28;

export const powerSchema = v.strictObject({
  name: averageName,
  kind: v.literal('power'),
  /** Standard deviation of its weights over the steps, as a share of all steps; EDM2 keeps 0.05 and 0.1. */
  relativeStd: v.pipe(v.number(), v.minValue(0.001), v.maxValue(WIDEST)),
});

/** The share of the average that stays at update number `step`: (1 − 1/step)^(γ + 1). */
export function powerDecayAt(
  step: number,
  { relativeStd }: Pick<v.InferOutput<typeof powerSchema>, 'relativeStd'>,
): number {
  return (1 - 1 / step) ** (powerExponent(relativeStd) + 1);
}

/** γ, of which the weights s^γ have this relative standard deviation: its variance is (γ + 1) / ((γ + 2)² (γ + 3)). */
export function powerExponent(relativeStd: number): number {
  const isTooWide = (gamma: number): boolean =>
    (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) > relativeStd ** 2;
  let [low, high] = [0, 1];
  while (isTooWide(high)) high *= 2;
  // Until no number lies between them.
  for (let middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2) {
    if (isTooWide(middle)) low = middle;
    else high = middle;
  }
  return high;
}
