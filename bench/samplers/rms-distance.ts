/** @file How far pictures are from each other. */
import type { HostTensor } from '../../src/core/host-tensor.ts';

export function rmsDistance(a: HostTensor<'f32'>, b: HostTensor<'f32'>): number {
  const squares = a.data.reduce((sum, value, i) => sum + (value - b.data[i]!) ** 2, 0);
  return Math.sqrt(squares / a.data.length);
}
