/** @file Lowering of pooling and resizing, for which ONNX has operators on images with channels first only. */
import { hostTensor } from '../../core/host-tensor.ts';
import type { AveragePoolParams, OpParams, PoolParams, Tensor } from '../graph/tensor.ts';
import { type Pair, sameWindow, type Window } from '../graph/window.ts';
import type { Lowering, NodeOf } from './lowering.ts';
import type { Attributes } from './model-writer.ts';

/** Attributes of ONNX for a kernel and where it is put. */
export function windowAttributes(kernel: Pair, window: Window = sameWindow(kernel)): Attributes {
  const { stride, before, after } = window;
  const isDense = stride[0] === 1 && stride[1] === 1;
  return {
    kernel_shape: [...kernel],
    pads: [...before, ...after],
    ...(isDense ? {} : { strides: [...stride] }),
  };
}

/** A rule on an image with channels first. */
type ImageRule<P> = (lowering: Lowering, image: string, params: P) => string;

export const maxPool: ImageRule<PoolParams> = (lowering, image, { kernel, ...window }) =>
  lowering.emit('MaxPool', [image], windowAttributes(kernel, window));

export const averagePool: ImageRule<AveragePoolParams> = (
  lowering,
  image,
  { kernel, countsPadding, ...window },
) =>
  lowering.emit('AveragePool', [image], {
    ...windowAttributes(kernel, window),
    count_include_pad: countsPadding ? 1 : 0,
  });

export const resize: ImageRule<{ readonly factor: Pair }> = (lowering, image, { factor }) => {
  const scales = lowering.writer.constant(hostTensor('f32', [4], Float32Array.of(1, 1, ...factor)));
  return lowering.emit('Resize', [image, '', scales], {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  });
};

/** The same with channels last, where nothing around it has them first. */
export const lowerPool =
  <O extends 'maxPool2d' | 'averagePool2d'>(rule: ImageRule<OpParams[O]>) =>
  (lowering: Lowering, { inputs, params }: NodeOf<O>): string => {
    const image = rule(lowering, lowering.channelsFirstName(inputs[0]!), params);
    return lowering.emit('Transpose', [image], { perm: [0, 2, 3, 1] });
  };

/** With channels last, a block of equal pixels is a broadcast, which moves nothing else. */
export function lowerResizeNearest(
  lowering: Lowering,
  { inputs, params: { factor }, shape }: NodeOf<'resizeNearest'>,
): string {
  const x = inputs[0] as Tensor;
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const single = lowering.reshape(lowering.name(x), [batch, height, 1, width, 1, channels]);
  const blocks = lowering.writer.integers([batch, height, factor[0], width, factor[1], channels]);
  return lowering.reshape(lowering.emit('Expand', [single, blocks]), shape);
}
