/** @file Float64 rules of the operations that work element by element. */
import type { DType } from '../../core/dtype.ts';
import type { Shape } from '../../core/shape.ts';
import type { GeluApproximation } from '../graph/tensor.ts';
import { erf } from './erf.ts';
import { broadcastElement, type EvaluateRule, fill, type Value } from './value.ts';

type ElementwiseRule = (shape: Shape, params: unknown, ...inputs: Value[]) => Float64Array;

const unary =
  (f: (x: number) => number): ElementwiseRule =>
  (_, __, x) =>
    x!.data.map((element) => f(element));

const binary =
  (f: (a: number, b: number) => number): ElementwiseRule =>
  (shape, _, a, b) =>
    fill(shape, (position) =>
      f(broadcastElement(a!, position, shape), broadcastElement(b!, position, shape)),
    );

/** What GELU multiplies x with: Φ(x), or the approximation of Hendrycks & Gimpel 2016, section 2. */
function gate(x: number, approximate: GeluApproximation): number {
  return approximate === 'none'
    ? 0.5 * (1 + erf(x / Math.SQRT2))
    : 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** Floats keep all digits: the evaluator computes in float64 what a graph declares as float32. */
function convert(x: number, dtype: DType): number {
  switch (dtype) {
    case 'f32':
    case 'f64':
      return x;
    case 'bool':
      return x === 0 ? 0 : 1;
    default:
      return Math.trunc(x);
  }
}

export const neg: EvaluateRule<'neg'> = unary((x) => -x);
export const exp: EvaluateRule<'exp'> = unary(Math.exp);
export const log: EvaluateRule<'log'> = unary(Math.log);
export const sqrt: EvaluateRule<'sqrt'> = unary(Math.sqrt);
export const reciprocal: EvaluateRule<'reciprocal'> = unary((x) => 1 / x);
export const sin: EvaluateRule<'sin'> = unary(Math.sin);
export const cos: EvaluateRule<'cos'> = unary(Math.cos);
export const tanh: EvaluateRule<'tanh'> = unary(Math.tanh);
export const erfRule: EvaluateRule<'erf'> = unary(erf);
export const sigmoid: EvaluateRule<'sigmoid'> = unary((x) => 1 / (1 + Math.exp(-x)));
export const relu: EvaluateRule<'relu'> = unary((x) => Math.max(x, 0));
export const stopGradient: EvaluateRule<'stopGradient'> = unary((x) => x);

export const gelu: EvaluateRule<'gelu'> = (_, { approximate }, x) =>
  x!.data.map((element) => element * gate(element, approximate));
export const geluGate: EvaluateRule<'geluGate'> = (_, { approximate }, x) =>
  x!.data.map((element) => gate(element, approximate));
export const cast: EvaluateRule<'cast'> = (_, { dtype }, x) =>
  x!.data.map((element) => convert(element, dtype));

export const add: EvaluateRule<'add'> = binary((a, b) => a + b);
export const sub: EvaluateRule<'sub'> = binary((a, b) => a - b);
export const mul: EvaluateRule<'mul'> = binary((a, b) => a * b);
export const div: EvaluateRule<'div'> = binary((a, b) => a / b);
export const maximum: EvaluateRule<'maximum'> = binary(Math.max);
export const minimum: EvaluateRule<'minimum'> = binary(Math.min);
export const less: EvaluateRule<'less'> = binary((a, b) => (a < b ? 1 : 0));
export const where: EvaluateRule<'where'> = (shape, _, condition, a, b) =>
  fill(shape, (position) =>
    broadcastElement(broadcastElement(condition!, position, shape) === 1 ? a! : b!, position, shape),
  );
