/** @file Initial values of parameters. Each model family says which parameter gets which. */
import { type HostTensor, hostTensor, type TensorMap } from '../../core/host-tensor.ts';
import { fold, normal, type RandomKey, uniform } from '../../core/random.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { Module, Parameter } from './module.ts';

export type Initialiser = (shape: Shape, key: RandomKey) => Float32Array;

/** The initialiser of a parameter by its checkpoint key. */
export type InitRule = (name: string, shape: Shape) => Initialiser;

export const zeros: Initialiser = (shape) => new Float32Array(sizeOf(shape));

export const filledWith =
  (value: number): Initialiser =>
  (shape) =>
    new Float32Array(sizeOf(shape)).fill(value);

export const normalWith =
  (std: number): Initialiser =>
  (shape, key) =>
    normal(key, sizeOf(shape)).map((value) => value * std);

/** Uniform on ±√(6 / (fanIn + fanOut)), fans multiplied by the receptive field (Glorot & Bengio 2010). */
export const xavierUniform: Initialiser = (shape, key) => {
  const receptiveField = sizeOf(shape.slice(2));
  return uniformWithin(Math.sqrt(6 / ((shape[0]! + shape[1]!) * receptiveField)), shape, key);
};

/** Xavier for a convolution seen as the matrix [out, in·k·k]: how the reference initialises patch embeddings. */
export const xavierUniformAsMatrix: Initialiser = (shape, key) =>
  uniformWithin(Math.sqrt(6 / (shape[0]! + sizeOf(shape.slice(1)))), shape, key);

/**
 * PyTorch's own initial values, for networks whose reference sets none: weights and biases of linear layers and
 * convolutions are uniform on ±1/√fanIn, norms are the identity. A bias has the fan of the weight beside it.
 */
export function pytorchDefaults(model: Module): InitRule {
  let shapes: ReadonlyMap<string, Shape> | undefined;
  return (name, shape) => {
    // The model that asks for its rule is not built yet.
    shapes ??= new Map([...model.parameters()].map((parameter) => [parameter.name, parameter.shape]));
    const weight = shapes.get(name.replace(/bias$/, 'weight'));
    if (weight === undefined || weight.length === 1) return name.endsWith('bias') ? zeros : filledWith(1);
    const bound = 1 / Math.sqrt(sizeOf(weight.slice(1)));
    return (_, key) => uniformWithin(bound, shape, key);
  };
}

function uniformWithin(bound: number, shape: Shape, key: RandomKey): Float32Array {
  return uniform(key, sizeOf(shape)).map((value) => (2 * value - 1) * bound);
}

/** Draws every parameter of a model; each has its own key, so adding one does not change the others. */
export function initialise(model: Module, rule: InitRule, key: RandomKey): TensorMap {
  return new Map(initialValues(model.parameters(), rule, key));
}

/** The same for some of its parameters, drawn one after another as they are asked for. */
export function* initialValues(
  parameters: Iterable<Parameter>,
  rule: InitRule,
  key: RandomKey,
): Generator<readonly [name: string, value: HostTensor<'f32'>]> {
  for (const { name, shape } of parameters) {
    yield [name, hostTensor('f32', shape, rule(name, shape)(shape, fold(key, name)))];
  }
}
