/** @file Lowering of GELU, whole or as the input times its gate. */
import type { GeluApproximation } from '../graph/tensor.ts';
import type { Lowering } from './lowering.ts';

/** x · Φ(x). Below opset 20, which brought the operator, as the product with its gate. */
export function gelu(lowering: Lowering, x: string, approximate: GeluApproximation): string {
  return lowering.has('Gelu')
    ? lowering.emit('Gelu', [x], { approximate })
    : lowering.emit('Mul', [x, geluGate(lowering, x, approximate)]);
}

/** Φ(x), or its approximation ½ + ½ tanh(√(2/π) (x + 0.044715 x³)). */
export function geluGate(lowering: Lowering, x: string, approximate: GeluApproximation): string {
  const times = (name: string, factor: number) => lowering.emit('Mul', [name, lowering.float(factor)]);
  const bounded =
    approximate === 'none' ? lowering.emit('Erf', [times(x, Math.SQRT1_2)]) : boundedByTanh(lowering, x);
  // ½ · bounded + ½ in one pass; its limits 0 and 1 are never passed.
  return lowering.emit('HardSigmoid', [bounded], { alpha: { float: 0.5 }, beta: { float: 0.5 } });
}

function boundedByTanh(lowering: Lowering, x: string): string {
  const c = Math.sqrt(2 / Math.PI);
  const squared = lowering.emit('Mul', [x, x]);
  const scaled = lowering.emit('Mul', [squared, lowering.float(0.044715 * c)]);
  const factor = lowering.emit('Add', [scaled, lowering.float(c)]);
  return lowering.emit('Tanh', [lowering.emit('Mul', [x, factor])]);
}
