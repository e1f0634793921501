/**
 * @file Rewriting graphs for inference: what depends on weights alone is computed once, so work is moved there, and passes
 * over the feature maps are joined or given the form in which the runtime does them best.
 */
import { sameShape, sizeOf } from '../../core/shape.ts';
import { splitLargeConvolutions } from './channel-parts.ts';
import type { Graph } from './graph.ts';
import {
  add,
  chunk,
  concat,
  conv2d,
  linear,
  modulatedNorm,
  mul,
  reshape,
  rotary,
  slice,
} from './operators.ts';
import { keep, mapGraph } from './rewrite.ts';
import { isOp, type OpParams, type Tensor, type Unlabelled } from './tensor.ts';
import { dependingOnInputs, topologicalOrder } from './traverse.ts';

/** All passes that pay for inference only. */
export function specialise(graph: Graph): Graph {
  return gateTokens(
    joinModulation(scaleRotations(splitLinears(splitUpsampledConvolutions(splitLargeConvolutions(graph))))),
  );
}

/**
 * Parts of a linear map become maps of their own, with parts of the weight: nothing is left of cutting that, and the large
 * result is never cut.
 */
export function splitLinears(graph: Graph): Graph {
  const order = topologicalOrder(graph.values());
  const outputs = new Set(graph.values());
  const readWhole = new Set<Tensor>(outputs);
  for (const tensor of order) {
    if (!isPartOfTokens(tensor)) for (const read of tensor.inputs) readWhole.add(read);
  }
  return mapGraph(graph, (tensor, inputs) => {
    const whole = tensor.inputs[0];
    if (!isPartOfTokens(tensor) || whole?.op !== 'linear' || readWhole.has(whole))
      return keep(tensor, inputs);
    const [x, weight, bias] = inputs[0]!.inputs;
    const { start, end } = tensor.params;
    return linear(x!, slice(weight!, 0, start, end), bias && slice(bias, 0, start, end));
  });
}

/** With fewer channels, putting the pixels in their places costs what the products save (LOG.md). */
const FEWEST_SPLIT_CHANNELS = 128;

/**
 * A 3×3 convolution of an image whose sides were doubled by repeating pixels is four 2×2 convolutions of the small image,
 * one for each place in a doubled pixel: taps that read the same pixel are added up in the weight. 16 products take the
 * place of 36.
 */
export function splitUpsampledConvolutions(graph: Graph): Graph {
  const depends = dependingOnInputs(topologicalOrder(graph.values()));
  return mapGraph(graph, (tensor, inputs) => {
    const [image, weight, bias] = inputs as [Tensor, Tensor, Tensor | undefined];
    if (!isOp(tensor, 'conv2d') || tensor.params.window !== undefined) return keep(tensor, inputs);
    const [outputs, channels, ...kernel] = weight.shape as [number, number, number, number];
    if (!sameShape(kernel, [3, 3]) || channels < FEWEST_SPLIT_CHANNELS || depends.has(tensor.inputs[1]!))
      return keep(tensor, inputs);
    if (!isOp(image, 'resizeNearest') || !sameShape(image.params.factor, [2, 2])) return keep(tensor, inputs);
    const small = image.inputs[0]!;
    const [batch, height, width] = small.shape as [number, number, number];
    const pixelsAt = (row: Copy, column: Copy): Unlabelled => {
      const taps = sharedTaps(sharedTaps(weight, 2, row), 3, column);
      const padding = { before: [1 - row, 1 - column], after: [row, column] } as const;
      return conv2d(small, taps, bias, { padding });
    };
    const rowsOf = (row: Copy): Unlabelled =>
      reshape(concat([pixelsAt(row, 0), pixelsAt(row, 1)], 3), [batch, height, 1, 2 * width * outputs]);
    return reshape(concat([rowsOf(0), rowsOf(1)], 2), tensor.shape);
  });
}

/** The first or the second of the two along an axis that a pixel has become. */
type Copy = 0 | 1;

/** Three taps along an axis, as two of the small image: centred on the first copy, the last two read the same pixel. */
function sharedTaps(weight: Tensor, axis: number, copy: Copy): Unlabelled {
  const [first, middle, last] = chunk(weight, 3, axis) as [Unlabelled, Unlabelled, Unlabelled];
  return concat(copy === 0 ? [first, add(middle, last)] : [add(first, middle), last], axis);
}

/** Is this a slice of the last axis of many rows? Single vectors are cheaper to cut than to compute in parts. */
function isPartOfTokens(tensor: Tensor): tensor is Tensor & { readonly params: OpParams['slice'] } {
  const { shape } = tensor;
  return isOp(tensor, 'slice') && shape.length > 2 && tensor.params.axis === shape.length - 1;
}

/**
 * What is multiplied by a weight of each head and then rotated by its position, as the queries of cosine attention are with
 * their temperature, is rotated by scaled tables: a pass less. The heads of a token become tokens of one head, so that each
 * has rows of its own in the tables.
 */
export function scaleRotations(graph: Graph): Graph {
  const depends = dependingOnInputs(topologicalOrder(graph.values()));
  return mapGraph(graph, (tensor, inputs) => {
    const [x, cos, sin] = inputs as [Tensor, Tensor, Tensor];
    const weighted = isOp(tensor, 'rotary') && isOp(x, 'reshape') ? x.inputs[0]! : undefined;
    if (!isOp(tensor, 'rotary') || weighted === undefined || !isOp(weighted, 'mul'))
      return keep(tensor, inputs);
    const [heads, factor] = weighted.inputs as [Tensor, Tensor];
    const [batch, tokens, width] = tensor.shape as [number, number, number];
    const { heads: count } = tensor.params;
    const isPerHead =
      sameShape(heads.shape, [batch, tokens, count, width / count]) && sameShape(factor.shape, [count, 1]);
    if (!isPerHead || depends.has(tensor.inputs[0]!.inputs[0]!.inputs[1]!)) return keep(tensor, inputs);
    const scaled = (table: Tensor) => {
      const columns = table.shape[1]!;
      return reshape(mul(reshape(table, [tokens, 1, columns]), factor), [tokens * count, columns]);
    };
    const rows = reshape(heads, [batch, tokens * count, width / count]);
    return reshape(rotary(rows, scaled(cos), scaled(sin), 1), tensor.shape);
  });
}

/** A norm whose tokens are all scaled and shifted by the same vectors is one operation: of one image, or in a group of one. */
export function joinModulation(graph: Graph): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const [scaled, shift] = inputs;
    if (!isOp(tensor, 'add') || !isOp(scaled!, 'mul')) return keep(tensor, inputs);
    const [norm, scale] = scaled.inputs;
    if (!isOp(norm!, 'layerNorm') || !isVector(scale!, norm) || !isVector(shift!, norm))
      return keep(tensor, inputs);
    const width = [norm.shape.at(-1)!];
    return modulatedNorm(norm.inputs[0]!, {
      scale: reshape(scale!, width),
      shift: reshape(shift!, width),
      eps: norm.params.eps,
    });
  });
}

/**
 * A product of images with a vector of each, as gates are, is computed on tokens [N, T, D]. On images, ONNX Runtime moves the
 * transposition of a convolution's output behind the product, where it is no part of leaving the blocked layout any more
 * and costs a pass of its own (LOG.md).
 */
export function gateTokens(graph: Graph): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const [images, gate] = inputs;
    const [batch, , , width] = tensor.shape;
    if (!isOp(tensor, 'mul') || tensor.shape.length !== 4 || isOp(images!, 'layerNorm'))
      return keep(tensor, inputs);
    if (!sameShape(images!.shape, tensor.shape) || !sameShape(gate!.shape, [batch!, 1, 1, width!])) {
      return keep(tensor, inputs);
    }
    const tokens = reshape(images!, [batch!, sizeOf(tensor.shape) / (batch! * width!), width!]);
    return reshape(mul(tokens, reshape(gate!, [batch!, 1, width!])), tensor.shape);
  });
}

/** One row as wide as those of `x`? */
function isVector({ shape }: Tensor, x: Tensor): boolean {
  return shape.at(-1) === x.shape.at(-1) && sizeOf(shape) === shape.at(-1);
}
