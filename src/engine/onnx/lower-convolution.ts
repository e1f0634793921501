/**
 * @file Lowering of convolutions. Images are [N, H, W, C] in the graph. With known weights whole chains run channels
 * first between two transposes, which ONNX Runtime turns into its blocked NCHWc layout for free. With fed weights
 * (training) convolutions use that layout's operators directly where channels fill its blocks; im2col and a matrix
 * product serve where they do not. Weight gradients of dense convolutions are a matrix product per tap.
 */
import { sizeOf } from '../../core/shape.ts';
import { isOp, type OpName, type Tensor } from '../graph/tensor.ts';
import { type Pair, pairOf, positionsOf, sameWindow, type Window } from '../graph/window.ts';
import { gelu } from './lower-gelu.ts';
import { averagePool, maxPool, resize, windowAttributes } from './lower-window.ts';
import type { Lowering, NodeOf } from './lowering.ts';

const NCHWC = 'com.microsoft.nchwc';

// Channels-first chains

const IMAGE_OPS: ReadonlySet<OpName> = new Set(['conv2d', 'maxPool2d', 'averagePool2d', 'resizeNearest']);
const POINTWISE_OPS: ReadonlySet<OpName> = new Set(['gelu', 'relu', 'linear']);

/**
 * The nodes that are computed channels first at inference: every convolution, pooling and resizing, the pointwise linears
 * and activations that only read one of them, those that only a depthwise convolution reads, and the channels of such
 * nodes side by side.
 */
export function channelsFirstChains(
  order: readonly Tensor[],
  uses: ReadonlyMap<Tensor, number>,
): Set<Tensor> {
  const chain = new Set<Tensor>();
  const isPointwise = ({ op, shape }: Tensor) => shape.length === 4 && POINTWISE_OPS.has(op);
  for (const tensor of order) {
    if (IMAGE_OPS.has(tensor.op)) chain.add(tensor);
    if (tensor.op !== 'depthwiseConv2d') continue;
    chain.add(tensor);
    for (let x = tensor.inputs[0]!; isPointwise(x) && uses.get(x) === 1; x = x.inputs[0]!) chain.add(x);
  }
  for (const tensor of order) {
    const x = tensor.inputs[0];
    if (isPointwise(tensor) && x !== undefined && chain.has(x) && uses.get(x) === 1) chain.add(tensor);
    if (joinsChannels(tensor) && tensor.inputs.every((part) => chain.has(part))) chain.add(tensor);
  }
  return chain;
}

function joinsChannels(tensor: Tensor): boolean {
  return isOp(tensor, 'concat') && tensor.shape.length === 4 && tensor.params.axis === 3;
}

/** Lowers one node of a chain; its operand is brought into channels-first layout if it is not. */
export function lowerChannelsFirst(lowering: Lowering, tensor: Tensor): void {
  lowering.setChannelsFirstName(tensor, channelsFirst(lowering, tensor));
}

function channelsFirst(lowering: Lowering, tensor: Tensor): string {
  const [x, weight, bias] = tensor.inputs;
  const image = lowering.channelsFirstName(x!);
  if (isOp(tensor, 'gelu')) {
    return gelu(lowering, image, tensor.params.approximate);
  }
  if (isOp(tensor, 'relu')) return lowering.emit('Relu', [image]);
  if (isOp(tensor, 'concat')) {
    const parts = tensor.inputs.map((part) => lowering.channelsFirstName(part));
    return lowering.emit('Concat', parts, { axis: 1 });
  }
  if (isOp(tensor, 'maxPool2d')) return maxPool(lowering, image, tensor.params);
  if (isOp(tensor, 'averagePool2d')) return averagePool(lowering, image, tensor.params);
  if (isOp(tensor, 'resizeNearest')) return resize(lowering, image, tensor.params);
  const convolved = (filter: string, kernel: Pair, group = 1, window?: Window) =>
    lowering.emit('Conv', bias === undefined ? [image, filter] : [image, filter, lowering.name(bias)], {
      ...windowAttributes(kernel, window),
      group,
    });
  if (isOp(tensor, 'linear')) {
    return convolved(lowering.reshape(lowering.name(weight!), [...weight!.shape, 1, 1]), [1, 1]);
  }
  const [outputs, , ...kernel] = weight!.shape as [number, number, number, number];
  return isOp(tensor, 'conv2d')
    ? convolved(lowering.name(weight!), kernel, 1, tensor.params.window)
    : convolved(lowering.name(weight!), kernel, outputs);
}

// Dense convolutions with fed weights

export function lowerConv2d(lowering: Lowering, tensor: NodeOf<'conv2d'>): string {
  const [x, weight, bias] = tensor.inputs;
  const [outputs, inputs, height, width] = weight!.shape as [number, number, number, number];
  const block = blockFor(lowering, inputs);
  if (block !== null) return blockedConv2d(lowering, tensor, block);
  const taps = lowering.emit('Transpose', [lowering.name(weight!)], { perm: [0, 2, 3, 1] });
  const operands = [
    neighbourhoods(lowering, x!, [height, width], tensor),
    lowering.reshape(taps, [outputs, height * width * inputs]),
  ];
  if (bias !== undefined) operands.push(lowering.name(bias));
  return lowering.reshape(lowering.emit('Gemm', operands, { transB: 1 }), tensor.shape);
}

/** The blocked direct convolution; output channels are padded to whole blocks and cut off as the image is reordered. */
function blockedConv2d(lowering: Lowering, tensor: NodeOf<'conv2d'>, block: number): string {
  const [x, weight, bias] = tensor.inputs;
  const [outputs, inputs, ...kernel] = weight!.shape as [number, number, number, number];
  const padded = Math.ceil(outputs / block) * block;
  const zerosAfter = (name: string, axes: number) =>
    padded === outputs
      ? name
      : lowering.emit('Pad', [
          name,
          lowering.writer.integers(
            Array.from({ length: 2 * axes }, (_, i) => (i === axes ? padded - outputs : 0)),
          ),
        ]);
  const filters = blockedFilters(lowering, zerosAfter(lowering.name(weight!), 4), block, [
    padded,
    inputs,
    ...kernel,
  ]);
  const operands = [blocked(lowering, x!), filters];
  if (bias !== undefined) operands.push(zerosAfter(lowering.name(bias), 1));
  const attributes = { ...windowAttributes(kernel, tensor.params.window), group: 1 };
  const image = lowering.emit('Conv', operands, attributes, NCHWC);
  return lowering.emit('ReorderOutput', [image], { channels: outputs, channels_last: 1 }, NCHWC);
}

/**
 * Filters [O, I, kh, kw] in blocks [O/b, I/b, kh, kw, b of I, b of O]. Each of the three transpositions moves one axis,
 * for which the runtime copies blocks; all at once it would move numbers one by one, at twelve times the price.
 */
function blockedFilters(
  lowering: Lowering,
  filters: string,
  block: number,
  shape: readonly [outputs: number, inputs: number, ...kernel: number[]],
): string {
  const [outputs, inputs, ...kernel] = shape;
  const taps = sizeOf(kernel);
  const moved = (name: string, from: readonly number[], perm: readonly number[]) =>
    lowering.emit('Transpose', [lowering.reshape(name, from)], { perm: [...perm] });
  const outputsLast = moved(filters, [outputs, inputs * taps], [1, 0]);
  const outputBlocksFirst = moved(outputsLast, [inputs * taps, outputs / block, block], [1, 0, 2]);
  const tapsOutside = moved(
    outputBlocksFirst,
    [(outputs * inputs) / block ** 2, block, taps, block],
    [0, 2, 1, 3],
  );
  return lowering.reshape(tapsOutside, shape);
}

/**
 * A matrix product per tap: dy with x shifted to it. All neighbourhoods at once would be one product, but k·k images
 * large, and fresh memory costs more than the products do. Whichever image has fewer channels is the one shifted, where
 * both have the same pixels.
 */
export function lowerConv2dWeightGradient(
  lowering: Lowering,
  tensor: NodeOf<'conv2dWeightGradient'>,
): string {
  const [x, dy] = tensor.inputs;
  const { window } = tensor.params;
  const [outputs, inputs, ...kernel] = tensor.shape as [number, number, number, number];
  const rows = sizeOf(dy!.shape) / outputs;
  const product = (a: string, b: string) => lowering.emit('Gemm', [a, b], { transA: 1 });
  const shifted = (image: Tensor) =>
    shiftedImages(lowering, image, kernel, window).map((name) =>
      lowering.reshape(name, [rows, image.shape.at(-1)!]),
    );
  // Seen from dy a filter is mirrored: the pixel to its left met dy through the tap on the right.
  const isMirrored = window === undefined && kernel.every((length) => length % 2 === 1) && inputs > outputs;
  const taps = isMirrored
    ? shifted(dy!)
        .reverse()
        .map((dyTap) => product(dyTap, lowering.asMatrix(x!)))
    : shifted(x!).map((xTap) => product(lowering.asMatrix(dy!), xTap));
  const side = taps.map((tap) => lowering.reshape(tap, [outputs, inputs, 1]));
  return lowering.reshape(lowering.emit('Concat', side, { axis: 2 }), tensor.shape);
}

/** [pixels of the result, kh·kw·C]: for each its neighbourhood, made once per image tensor (im2col). */
function neighbourhoods(lowering: Lowering, x: Tensor, kernel: Pair, result: NodeOf<'conv2d'>): string {
  const { window } = result.params;
  const taps = kernel[0] * kernel[1];
  if (taps === 1 && window === undefined) return lowering.asMatrix(x);
  return lowering.once(`neighbourhoods ${x.id} ${kernel} ${JSON.stringify(window)}`, () => {
    const columns = lowering.emit('Concat', shiftedImages(lowering, x, kernel, window), { axis: 3 });
    return lowering.reshape(columns, [sizeOf(result.shape.slice(0, 3)), taps * x.shape[3]!]);
  });
}

/** For each tap of a kernel the pixels that it reads, zeros beyond the border. */
function shiftedImages(
  lowering: Lowering,
  x: Tensor,
  kernel: Pair,
  window: Window = sameWindow(kernel),
): string[] {
  const [, height, width] = x.shape as [number, number, number, number];
  const { stride, before, after } = window;
  const [rows, columns] = positionsOf([height, width], kernel, window);
  const integers = (values: readonly number[]) => lowering.writer.integers(values);
  const padded = lowering.emit('Pad', [lowering.name(x), integers([0, ...before, 0, 0, ...after, 0])]);
  const isDense = stride[0] === 1 && stride[1] === 1;
  return Array.from({ length: kernel[0] * kernel[1] }, (_, tap) => {
    const [row, column] = [Math.floor(tap / kernel[1]), tap % kernel[1]];
    return lowering.emit('Slice', [
      padded,
      integers([row, column]),
      integers([row + (rows - 1) * stride[0] + 1, column + (columns - 1) * stride[1] + 1]),
      integers([1, 2]),
      ...(isDense ? [] : [integers(stride)]),
    ]);
  });
}

// Depthwise convolutions with fed weights

export function lowerDepthwiseConv2d(lowering: Lowering, tensor: NodeOf<'depthwiseConv2d'>): string {
  const [x, weight, bias] = tensor.inputs;
  const [channels, , kernel] = weight!.shape as [number, number, number, number];
  const attributes = { ...windowAttributes(pairOf(kernel)), group: channels };
  const block = blockFor(lowering, channels);
  if (block === null) {
    const operands = [lowering.channelsFirstName(x!), lowering.name(weight!)];
    if (bias !== undefined) operands.push(lowering.name(bias));
    const image = lowering.emit('Conv', operands, attributes);
    return lowering.emit('Transpose', [image], { perm: [0, 2, 3, 1] });
  }
  const operands = [blocked(lowering, x!), blockedFilter(lowering, weight!, block)];
  if (bias !== undefined) operands.push(lowering.name(bias));
  const image = lowering.emit('Conv', operands, attributes, NCHWC);
  return lowering.emit('ReorderOutput', [image], { channels, channels_last: 1 }, NCHWC);
}

export function lowerDepthwiseConv2dWeightGradient(
  lowering: Lowering,
  tensor: NodeOf<'depthwiseConv2dWeightGradient'>,
): string {
  const [x, dy] = tensor.inputs;
  const [batch, height, width, channels] = x!.shape as [number, number, number, number];
  const { kernel } = tensor.params;
  const block = blockFor(lowering, channels);
  if (block === null) return shiftedProducts(lowering, tensor);

  // Correlating x with dy as one H×W filter per sample and channel gives the k×k gradient of that sample; the blocked
  // layout of an image is also the blocked layout of such filters, so neither operand has to be moved again.
  const groups = batch * channels;
  const perSample = lowering.emit(
    'Conv',
    [
      lowering.reshape(blockedAgain(lowering, x!), [1, groups, height, width]),
      lowering.reshape(blocked(lowering, dy!), [groups, 1, height, width]),
    ],
    { kernel_shape: [height, width], pads: windowAttributes(pairOf(kernel)).pads!, group: groups },
    NCHWC,
  );
  const blocks = lowering.reshape(perSample, [batch, channels / block, kernel * kernel, block]);
  const total = lowering.emit('ReduceSum', [blocks, lowering.writer.integers([0])], { keepdims: 0 });
  const filters = lowering.emit('Transpose', [total], { perm: [0, 2, 1] });
  return lowering.reshape(filters, tensor.shape);
}

/** Portable weight gradient: for each of the k·k taps, the sum of dy times x shifted by it. */
function shiftedProducts(lowering: Lowering, tensor: NodeOf<'depthwiseConv2dWeightGradient'>): string {
  const [x, dy] = tensor.inputs;
  const taps = shiftedImages(lowering, x!, pairOf(tensor.params.kernel)).map((shifted) => {
    const product = lowering.emit('Mul', [shifted, lowering.name(dy!)]);
    const total = lowering.emit('ReduceSum', [product, lowering.writer.integers([0, 1, 2])], { keepdims: 0 });
    return lowering.reshape(total, [x!.shape[3]!, 1]);
  });
  return lowering.reshape(lowering.emit('Concat', taps, { axis: 1 }), tensor.shape);
}

/** Channels per block, or null where the blocked layout is absent or the channels do not fill its blocks. */
function blockFor(lowering: Lowering, channels: number): number | null {
  const { nchwcBlock } = lowering.features;
  return nchwcBlock !== null && channels % nchwcBlock === 0 ? nchwcBlock : null;
}

/** [N, H, W, C] in blocks [N, C/b, H, W, b]; ONNX Runtime labels it [N, C, H, W]. */
function blocked(lowering: Lowering, image: Tensor): string {
  return lowering.once(`blocked ${image.id}`, () =>
    lowering.emit('ReorderInput', [lowering.name(image)], { channels_last: 1 }, NCHWC),
  );
}

/**
 * The same for the backward pass. An activation is computed and reordered once more: that takes a hundredth of a
 * step, and keeping it since the forward pass took a twentieth of the peak memory.
 */
function blockedAgain(lowering: Lowering, image: Tensor): string {
  if (image.op !== 'gelu') return blocked(lowering, image);
  const { approximate } = (image as NodeOf<'gelu'>).params;
  const activation = gelu(lowering, lowering.name(image.inputs[0]!), approximate);
  return lowering.emit('ReorderInput', [activation], { channels_last: 1 }, NCHWC);
}

/** Depthwise filters [C, 1, k, k] in blocks [C/b, k, k, b]; a tiny tensor, reordered at run time. */
function blockedFilter(lowering: Lowering, weight: Tensor, block: number): string {
  const [channels, , kernel] = weight.shape as [number, number, number, number];
  const blocks = lowering.reshape(lowering.name(weight), [channels / block, block, kernel * kernel]);
  const interleaved = lowering.emit('Transpose', [blocks], { perm: [0, 2, 1] });
  return lowering.reshape(interleaved, [channels, 1, kernel, kernel]);
}
