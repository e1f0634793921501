/** @file A model whose samples are known in closed form: each class is one picture, and its velocity leads there. */
import { type HostTensor, type TensorMap, tensorOf } from '../../src/core/host-tensor.ts';
import { add, div, mul, reshape, sub, takeRows } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { type Condition, Denoiser, type DenoiserConfig } from '../../src/networks/denoisers/denoiser.ts';
import { zeros } from '../../src/networks/nn/initialise.ts';
import { Parameter } from '../../src/networks/nn/module.ts';

/**
 * The exact flow of data that is one picture d_y per class: v(x, t) = (d_y − x) / (1 − t). Euler's method follows it
 * without error, so every sample is d_y; with guidance s it is d_null + s (d_y − d_null). Between two classes d lies on
 * the line between their pictures.
 */
export class OnePicturePerClass extends Denoiser {
  readonly config: DenoiserConfig;
  readonly labelEmbedders = 1;
  readonly initRule = () => zeros;
  /** [numClasses + 1, C·2·2]; the last row is the null label's. */
  readonly pictures: Parameter;

  constructor(numClasses: number, classDropoutProb = 0.1, inChannels = 3) {
    super();
    this.config = { inputSize: 2, inChannels, numClasses, learnSigma: false, classDropoutProb };
    this.pictures = new Parameter([numClasses + 1, 4 * inChannels]);
    this.bind();
  }

  stages() {
    return [];
  }

  forward(x: Tensor<'N C H W'>, { t, y, towards }: Condition): Unlabelled {
    const pictureOf = (label: Tensor): Unlabelled => reshape(takeRows(this.pictures.tensor, label), x.shape);
    const way = towards && sub(pictureOf(towards.y), pictureOf(y));
    const target = way
      ? add(pictureOf(y), mul(reshape(towards!.weight, [x.shape[0]!, 1, 1, 1]), way))
      : pictureOf(y);
    return div(sub(target, x), sub(1, reshape(t, [x.shape[0]!, 1, 1, 1])));
  }
}

/** Value `k` of picture `label`; any numbers that differ. */
export function pictureValue(label: number, k: number): number {
  return label / 10 - k / 32;
}

export function pictureWeights(numClasses: number, inChannels = 3): TensorMap {
  const size = 4 * inChannels;
  const values = Array.from({ length: (numClasses + 1) * size }, (_, i) =>
    pictureValue(Math.floor(i / size), i % size),
  );
  const pictures: HostTensor = tensorOf('f32', [numClasses + 1, size], values);
  return new Map([['pictures', pictures]]);
}
