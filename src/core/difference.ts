/** @file How far computed values are from what they should be. */
import type { TensorMap } from './host-tensor.ts';

/** Over all values that are added. One that is no number is infinitely far. */
export class Difference {
  /** The largest difference of any value. */
  maxAbs = 0;
  private squaredDifference = 0;
  private squaredExpected = 0;

  /** ‖actual − expected‖ / ‖expected‖ */
  get relativeL2(): number {
    return Math.sqrt(this.squaredDifference / this.squaredExpected);
  }

  add(actual: TensorMap, expected: TensorMap): void {
    for (const [name, { data }] of expected) {
      const values = actual.get(name)!.data;
      for (let i = 0; i < data.length; i++) {
        const value = Number(data[i]);
        const distance = Math.abs(Number(values[i]) - value);
        this.maxAbs = Math.max(this.maxAbs, Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance);
        this.squaredDifference += distance ** 2;
        this.squaredExpected += value ** 2;
      }
    }
  }
}
