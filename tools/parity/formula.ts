/** @file Values that fixtures state as a formula of position and index, so that none have to be kept: formula v2. */
import { type HostTensor, hostTensor } from '../../src/core/host-tensor.ts';
import { type Shape, sizeOf } from '../../src/core/shape.ts';

/** `offset` + `spread` · (hash of position and index, in [−½, ½)), computed in float64 and rounded once. */
export function formulaTensor(position: number, spread: number, shape: Shape, offset = 0): HostTensor<'f32'> {
  const start = Math.imul(position, 2246822519) + 12345;
  const values = new Float32Array(sizeOf(shape));
  for (let i = 0; i < values.length; i++) {
    let w = Math.imul(i, 2654435761) + start;
    w ^= w >>> 16;
    w = Math.imul(w, 0x7feb352d);
    w ^= w >>> 15;
    w = Math.imul(w, 0x846ca68b);
    w ^= w >>> 16;
    values[i] = offset + spread * ((w >>> 0) / 2 ** 32 - 0.5);
  }
  return hostTensor('f32', shape, values);
}

/** Spread of a weight by which the sums over the inputs of a layer keep a variance of `gain` / 12. */
export const spreadOverInputs = (shape: Shape, gain: number): number =>
  Math.sqrt(gain) / Math.sqrt(sizeOf(shape.slice(1)));
