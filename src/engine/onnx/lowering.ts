/** @file The state of one lowering and the vocabulary of its rules. */
import type { DType } from '../../core/dtype.ts';
import { hostTensor, scalar, type TensorMap } from '../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { OpName, OpParams, Tensor } from '../graph/tensor.ts';
import type { Attributes, Domain, ModelWriter } from './model-writer.ts';

/** What is to execute the model, and what it can beside standard ONNX; found by probing, never by a list. */
export interface LoweringFeatures {
  /** A GPU has kernels for fewer operators, in older versions of them, and other forms are fast on it. */
  readonly device: 'cpu' | 'gpu';
  /** Channels per block of ONNX Runtime's internal NCHWc layout on this CPU; null where it is absent. */
  readonly nchwcBlock: number | null;
  /** Operators of ONNX Runtime's own domain `com.microsoft`. */
  readonly contributed: boolean;
  /** Version of the standard operators. */
  readonly opset: number;
}

/** Standard ONNX alone. */
export const PORTABLE: LoweringFeatures = { device: 'cpu', nchwcBlock: null, contributed: false, opset: 23 };

/** The same for runtimes since 2022: attention and the like are the products and sums that they stand for. */
export const OLDER: LoweringFeatures = { ...PORTABLE, opset: 17 };

/**
 * Standard ONNX of an opset that GPUs have kernels for: nothing of it is left to the CPU. Of what opset 22 changed, WebGPU
 * has no `Sin`, `Cos` and `HardSigmoid`.
 */
export const GPU: LoweringFeatures = { ...PORTABLE, device: 'gpu', opset: 21 };

/** The opset that brought an operator, or the form of it that is used here. */
const SINCE = { Gelu: 20, 'axes as an input': 18, Attention: 23, RotaryEmbedding: 23 } as const;

/** A GPU computes with integers of 32 bits: there, what the graph has in 64 is of that type, and so is what is fed. */
export function typeFor({ device }: LoweringFeatures, { dtype }: Tensor): DType {
  return device === 'gpu' && dtype === 'i64' ? 'i32' : dtype;
}

/** A file beside the model for the values of all parameters, by the name under which the model refers to it. */
export interface DataFile {
  readonly dataFile: string;
}

export interface LowerOptions {
  readonly features: LoweringFeatures;
  /**
   * With weights, parameters become initialisers, and the graph is lowered for inference: their values are part of the
   * model's bytes, or left to a file that the caller writes. Without, parameters are fed.
   */
  readonly weights?: TensorMap | DataFile;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Where a lowering stands inside a larger model. */
export interface LoweringPlace {
  /** ONNX values that inputs of the graph are, instead of inputs of the model. */
  readonly bound: ReadonlyMap<string, string>;
  readonly writer: ModelWriter;
}

/** Names of the ONNX values made so far, and the means to make more. */
export class Lowering {
  readonly writer: ModelWriter;
  /** ONNX values that inputs of the graph are, instead of inputs of the model. */
  readonly bound: ReadonlyMap<string, string>;
  readonly features: LoweringFeatures;
  readonly weights: TensorMap | DataFile | undefined;
  /** Nodes computed with channels first (see lower-convolution.ts). */
  readonly channelsFirst: ReadonlySet<Tensor>;
  private readonly names = new Map<Tensor, string>();
  private readonly memo = new Map<string, string>();
  private scope = '';

  constructor(
    { features, weights }: LowerOptions,
    channelsFirst: ReadonlySet<Tensor>,
    { writer, bound }: LoweringPlace,
  ) {
    this.writer = writer;
    this.bound = bound;
    this.features = features;
    this.weights = weights;
    this.channelsFirst = channelsFirst;
  }

  /** Module path that the nodes emitted next belong to. */
  enter(scope: string): void {
    this.scope = scope;
  }

  get isForGpu(): boolean {
    return this.features.device === 'gpu';
  }

  /** Does the opset have it? */
  has(what: keyof typeof SINCE): boolean {
    return this.features.opset >= SINCE[what];
  }

  /** Element type of the ONNX value that holds a tensor. */
  typeOf(tensor: Tensor): DType {
    return typeFor(this.features, tensor);
  }

  /** With known weights and on a CPU, some forms are faster that are not so elsewhere. */
  get isForCpuInference(): boolean {
    return this.weights !== undefined && !this.isForGpu;
  }

  setName(tensor: Tensor, name: string): void {
    this.names.set(tensor, name);
  }

  /** ONNX value that holds a tensor in its own layout. */
  name(tensor: Tensor): string {
    const name = this.names.get(tensor);
    if (name !== undefined) return name;
    return this.once(`tokens ${tensor.id}`, () =>
      this.emit('Transpose', [this.channelsFirstName(tensor)], { perm: [0, 2, 3, 1] }),
    );
  }

  /** ONNX value that holds an [N, H, W, C] tensor as [N, C, H, W]. */
  channelsFirstName(tensor: Tensor): string {
    return this.once(`channels first ${tensor.id}`, () =>
      this.emit('Transpose', [this.names.get(tensor)!], { perm: [0, 3, 1, 2] }),
    );
  }

  setChannelsFirstName(tensor: Tensor, name: string): void {
    this.memo.set(`channels first ${tensor.id}`, name);
  }

  /** Emits what `make` emits at the first call with this key only. */
  once(key: string, make: () => string): string {
    const known = this.memo.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.memo.set(key, name);
    return name;
  }

  emit(opType: string, inputs: readonly string[], attributes: Attributes = {}, domain: Domain = ''): string {
    return this.writer.emit(opType, inputs, attributes, { domain, scope: this.scope });
  }

  emitMany(opType: string, inputs: readonly string[], count: number, attributes: Attributes = {}): string[] {
    return this.writer.emitMany(opType, inputs, count, attributes, { scope: this.scope });
  }

  reshape(name: string, shape: Shape): string {
    return this.emit('Reshape', [name, this.writer.integers(shape)]);
  }

  /** A matrix of the last two axes, transposed. */
  lastTwoSwapped(name: string, rank: number): string {
    const order = Array.from({ length: rank }, (_, axis) => axis);
    const perm = [...order.slice(0, -2), rank - 1, rank - 2];
    return this.once(`swapped ${name}`, () => this.emit('Transpose', [name], { perm }));
  }

  float(value: number): string {
    return this.writer.constant(scalar('f32', value));
  }

  /** A reduction of some axes. `ReduceSum` takes them as an input since opset 13, the others later. */
  reduce(opType: string, name: string, axes: readonly number[], keepDims = true): string {
    const keepdims = keepDims ? 1 : 0;
    return opType === 'ReduceSum' || this.has('axes as an input')
      ? this.emit(opType, [name, this.writer.integers(axes)], { keepdims })
      : this.emit(opType, [name], { axes, keepdims });
  }

  /** A constant vector of one value. */
  filled(length: number, value: number): string {
    return this.once(`filled ${length} ${value}`, () =>
      this.writer.constant(hostTensor('f32', [length], new Float32Array(length).fill(value))),
    );
  }

  /** Leading axes merged: [… D] → [rows, D]. */
  asMatrix(tensor: Tensor): string {
    if (tensor.shape.length === 2) return this.name(tensor);
    const width = tensor.shape.at(-1)!;
    return this.once(`matrix ${tensor.id}`, () =>
      this.reshape(this.name(tensor), [sizeOf(tensor.shape) / width, width]),
    );
  }
}

export type NodeOf<O extends OpName> = Tensor & { readonly op: O; readonly params: OpParams[O] };
