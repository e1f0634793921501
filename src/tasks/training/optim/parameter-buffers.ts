/**
 * @file Training state in flat buffers: one array each for parameters, gradients, averages and what an optimizer
 * keeps. Sessions read and write views of them, and the optimizer is one loop over memory.
 */
import { type HostTensor, hostTensor, type TensorMap } from '../../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../../core/shape.ts';

export interface ParameterSpec {
  readonly name: string;
  readonly shape: Shape;
}

/** Where each parameter lies in a flat buffer. */
export class ParameterLayout {
  readonly size: number;
  private readonly slots: ReadonlyMap<string, { readonly shape: Shape; readonly offset: number }>;

  constructor(parameters: Iterable<ParameterSpec>) {
    const slots = new Map<string, { readonly shape: Shape; readonly offset: number }>();
    let offset = 0;
    for (const { name, shape } of parameters) {
      slots.set(name, { shape, offset });
      offset += sizeOf(shape);
    }
    this.slots = slots;
    this.size = offset;
  }

  /** In the order of their places. */
  get names(): readonly string[] {
    return [...this.slots.keys()];
  }

  /** The parameters as tensors that share memory with `buffer`; `rename` gives them other names. */
  views(
    buffer: Float32Array,
    rename: (name: string) => string = (name) => name,
  ): Map<string, HostTensor<'f32'>> {
    return new Map(
      Array.from(this.slots, ([name, { shape, offset }]) => [
        rename(name),
        hostTensor('f32', shape, buffer.subarray(offset, offset + sizeOf(shape))),
      ]),
    );
  }

  /** Copies one parameter into a buffer. */
  put(buffer: Float32Array, name: string, value: HostTensor): void {
    buffer.set(value.data as Float32Array, this.slots.get(name)!.offset);
  }

  /** Copies named tensors into a buffer. Every parameter must be there with its size. */
  fill(buffer: Float32Array, values: TensorMap): void {
    for (const name of this.slots.keys()) this.put(buffer, name, values.get(name)!);
  }
}
