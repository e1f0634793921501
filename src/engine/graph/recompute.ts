/** @file Values that gradients need, computed a second time instead of kept: less memory for more work. */
import { hostTensor } from '../../core/host-tensor.ts';
import { sizeOf } from '../../core/shape.ts';
import { constant, rebuild, reshape, slice, where } from './operators.ts';
import { type Tensor, withScope } from './tensor.ts';

/** The part of a graph whose inner values are computed again, such as a block; undefined for values that are kept. */
export type SegmentOf = (tensor: Tensor) => string | undefined;

/**
 * Gives values of a segment once more, computed from what goes into the segment. Only that is kept until the gradients get
 * there. What does not vary from run to run stays as it is.
 */
export class Recomputation {
  private readonly segmentOf: SegmentOf;
  private readonly varying: ReadonlySet<Tensor>;
  private readonly segments = new Map<
    string,
    { readonly start: Tensor; readonly made: Map<Tensor, Tensor> }
  >();

  constructor(segmentOf: SegmentOf, varying: ReadonlySet<Tensor>) {
    this.segmentOf = segmentOf;
    this.varying = varying;
  }

  /**
   * What the gradient of a node is computed from in place of its value and its inputs.
   *
   * @param dy - gradient of its value; the first one in a segment starts the second computation
   */
  valuesFor(node: Tensor, dy: Tensor): { readonly value: Tensor; readonly inputs: readonly Tensor[] } {
    const name = this.segmentOf(node);
    if (name === undefined) return { value: node, inputs: node.inputs };
    let segment = this.segments.get(name);
    if (segment === undefined) {
      segment = { start: dy, made: new Map() };
      this.segments.set(name, segment);
    }
    const { start, made } = segment;
    const again = (value: Tensor): Tensor => {
      if (!this.varying.has(value)) return value;
      const known = made.get(value);
      if (known !== undefined) return known;
      const isInside = this.segmentOf(value) === name;
      const repeated = isInside
        ? withScope(value.scope, () => rebuild(value, value.inputs.map(again)))
        : after(value, start);
      made.set(value, repeated);
      return repeated;
    };
    return { value: again(node), inputs: node.inputs.map(again) };
  }
}

const ALWAYS = hostTensor('bool', [1], Uint8Array.of(1));

/** The same value, but not before `start` is there: a runtime would find that it has it already. */
function after(value: Tensor, start: Tensor): Tensor {
  if (value.dtype !== start.dtype) return value;
  const one = slice(reshape(start, [sizeOf(start.shape)]), 0, 0, 1);
  return where(constant(ALWAYS), value, one);
}
