/**
 * @file Convolutions of large maps in parts of the channels. What a convolution reads, such as SiLU of a norm, is computed
 * for some groups of channels at a time, convolved and added up, so that only a part of these maps is alive at once.
 */
import { sameShape, sizeOf } from '../../core/shape.ts';
import type { Graph } from './graph.ts';
import { bytesOf } from './liveness.ts';
import { add, conv2d, rebuild, reshape, slice } from './operators.ts';
import { keep, mapGraph } from './rewrite.ts';
import { isOp, type OpName, type OpParams, type Tensor, type Unlabelled } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** Maps of at most so many bytes stay whole. */
const SMALL_BYTES = 16 * 1024 * 1024;

/** Of the largest map. Smaller parts leave the peak as it is, and gaps in the memory of the runtime (LOG.md). */
const PART = 1 / 8;

/** A part has a multiple of so many channels, since the runtime computes as many at once. */
const PART_CHANNELS = 32;

type Part = OpParams['slice'];
type Convolution = Tensor & { readonly params: OpParams['conv2d'] };

/**
 * conv(f(x)) = Σ conv(f(some channels of x)), where f keeps groups of channels apart. Where x itself is a convolution of
 * doubled sides, whose map is the largest, its parts are never put together.
 */
export function splitLargeConvolutions(graph: Graph, smallBytes = SMALL_BYTES): Graph {
  const order = topologicalOrder(graph.values());
  const convolutions = order.filter(({ op }) => op === 'conv2d');
  const largest = Math.max(0, ...convolutions.flatMap((tensor) => [tensor, tensor.inputs[0]!].map(bytesOf)));
  const partBytes = Math.max(smallBytes, PART * largest);
  const readers = readersOf(order, graph);
  /** Convolutions of doubled sides that are read in parts only. */
  const doubled = new Set<Tensor>();
  const sums = new Set<Tensor>();
  return mapGraph(graph, (tensor, inputs) => {
    const [image, weight, bias] = inputs as [Tensor, Tensor, Tensor | undefined];
    if (isOp(tensor, 'add') && sums.has(weight) && readers.get(tensor.inputs[1]!)!.length === 1)
      return addFirst(image, weight);
    if (!isOp(tensor, 'conv2d')) return keep(tensor, inputs);
    if (isOp(image, 'resizeNearest')) {
      const made = keep(tensor, inputs);
      const isReadInParts = readers.get(tensor)!.every((op) => op === 'transpose' || op === 'conv2d');
      if (isReadInParts) doubled.add(made);
      return made;
    }
    const bounds = partsOf(image, partBytes);
    const parts = bounds.map((part) => partOf(image, part, doubled));
    if (parts.length === 1 || parts.some((part) => part === undefined)) return keep(tensor, inputs);
    const sum = parts
      .map((part, i) => {
        const { start, end } = bounds[i]!;
        return convolvedAs(tensor, part!, slice(weight, 1, start, end), i === 0 ? bias : undefined);
      })
      .reduce((total, term) => add(total, term));
    sums.add(sum);
    return sum;
  });
}

/** What reads each node: operations, and `undefined` for who takes the outputs. */
function readersOf(
  order: readonly Tensor[],
  graph: Graph,
): ReadonlyMap<Tensor, readonly (OpName | undefined)[]> {
  const readers = new Map<Tensor, (OpName | undefined)[]>(order.map((tensor) => [tensor, []]));
  for (const { op, inputs } of order) for (const read of inputs) readers.get(read)!.push(op);
  for (const output of graph.values()) readers.get(output)!.push(undefined);
  return readers;
}

/** With the window of another convolution. */
function convolvedAs({ params }: Convolution, x: Tensor, weight: Tensor, bias?: Tensor): Unlabelled {
  const { window } = params;
  return conv2d(x, weight, bias, window && { stride: window.stride, padding: window });
}

/** x + (a + b) as (x + a) + b: the runtime adds to what is there as it convolves. */
function addFirst(x: Tensor, sum: Tensor): Tensor {
  if (!isOp(sum, 'add')) return add(x, sum);
  const [rest, last] = sum.inputs as [Tensor, Tensor];
  return add(addFirst(x, rest), last);
}

/** The channels of images in as few parts of equal length as keep to the limit, if they divide so. */
function partsOf(map: Tensor, partBytes: number): Part[] {
  const channels = map.shape[3]!;
  let count = 1;
  while (bytesOf(map) > count * partBytes && channels % (2 * count * PART_CHANNELS) === 0) count *= 2;
  const length = channels / count;
  return Array.from({ length: count }, (_, i) => ({ axis: 3, start: i * length, end: (i + 1) * length }));
}

/** A part of what is computed for each channel or group of channels; undefined where all would be computed for it. */
function partOf(tensor: Tensor, part: Part, doubled: ReadonlySet<Tensor>): Tensor | undefined {
  const known = new Map<string, Tensor>();
  const computed = (whole: Tensor, { axis, start, end }: Part): Tensor | undefined => {
    if (!doubled.has(whole)) return computedInPart(whole, { axis, start, end }, take);
    const [image, weight, bias] = whole.inputs as [Tensor, Tensor, Tensor | undefined];
    const ofOutputs = (filters: Tensor) => slice(filters, 0, start, end);
    return convolvedAs(whole as Convolution, image, ofOutputs(weight), bias && ofOutputs(bias));
  };
  const take = (whole: Tensor, part: Part): Tensor => {
    const key = `${whole.id} ${part.axis} ${part.start} ${part.end}`;
    const made = known.get(key) ?? computed(whole, part) ?? slice(whole, part.axis, part.start, part.end);
    known.set(key, made);
    return made;
  };
  return computed(tensor, part);
}

/** The same operation on parts of its operands, where it treats the numbers along an axis alike. */
function computedInPart(
  tensor: Tensor,
  part: Part,
  take: (operand: Tensor, part: Part) => Tensor,
): Tensor | undefined {
  const { shape, inputs } = tensor;
  const [x] = inputs as [Tensor];
  const { axis, start, end } = part;
  if (isOp(tensor, 'sigmoid')) return rebuild(tensor, [take(x, part)]);
  if (isOp(tensor, 'transpose'))
    return rebuild(tensor, [take(x, { ...part, axis: tensor.params.order[axis]! })]);
  if (isOp(tensor, 'layerNorm') && axis < shape.length - 1) return rebuild(tensor, [take(x, part)]);
  // A sum of two maps, as behind a block, is read as a whole elsewhere.
  if (isOp(tensor, 'mul') || (isOp(tensor, 'add') && !inputs.every((term) => sameShape(term.shape, shape)))) {
    const operands = inputs.map((operand) => {
      const own = axis - shape.length + operand.shape.length;
      return own < 0 || operand.shape[own] === 1 ? operand : take(operand, { ...part, axis: own });
    });
    return rebuild(tensor, operands);
  }
  if (!isOp(tensor, 'reshape')) return undefined;
  const before = sizeOf(shape.slice(0, axis));
  const own = x.shape.findIndex((length, i) => length > 1 && sizeOf(x.shape.slice(0, i)) === before);
  const rows = sizeOf(shape.slice(axis + 1)) / sizeOf(x.shape.slice(own + 1));
  const isWhole = own >= 0 && Number.isInteger(start * rows) && Number.isInteger(end * rows);
  return isWhole
    ? reshape(take(x, { axis: own, start: start * rows, end: end * rows }), shape.with(axis, end - start))
    : undefined;
}
