/**
 * @file Training state in flat buffers: one array each for parameters, gradients, both moments and the average. Sessions
 * read and write views of them, and the optimizer is one loop over memory.
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
  private readonly slots: readonly (ParameterSpec & { readonly offset: number })[];

  constructor(parameters: Iterable<ParameterSpec>) {
    let offset = 0;
    this.slots = Array.from(parameters, ({ name, shape }) => {
      const slot = { name, shape, offset };
      offset += sizeOf(shape);
      return slot;
    });
    this.size = offset;
  }

  /** The parameters as tensors that share memory with `buffer`; `rename` gives them other names. */
  views(
    buffer: Float32Array,
    rename: (name: string) => string = (name) => name,
  ): Map<string, HostTensor<'f32'>> {
    return new Map(
      this.slots.map(({ name, shape, offset }) => [
        rename(name),
        hostTensor('f32', shape, buffer.subarray(offset, offset + sizeOf(shape))),
      ]),
    );
  }

  /** Copies named tensors into a buffer. Every parameter must be there with its size. */
  fill(buffer: Float32Array, values: TensorMap): void {
    for (const { name, offset } of this.slots) buffer.set(values.get(name)!.data as Float32Array, offset);
  }
}
