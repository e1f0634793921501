/** @file A model of data that is normal: each value of its pictures has the same mean and deviation. */
import { createObjective, type ObjectiveSpec } from '../../src/diffusion/objectives.ts';
import { reshape } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { type Condition, Denoiser, type DenoiserConfig } from '../../src/networks/denoisers/denoiser.ts';
import { zeros } from '../../src/networks/nn/initialise.ts';
import { exactNoise, exactPrediction, type NormalData } from './normal-data.ts';

/** Predicts exactly what is best, without weights or classes. Its pictures are of 2×2 pixels. */
export class NormalPixels extends Denoiser {
  readonly config: DenoiserConfig;
  readonly labelEmbedders = 1;
  readonly initRule = () => zeros;

  constructor(
    private readonly data: NormalData,
    private readonly objective: ObjectiveSpec,
  ) {
    super();
    this.config = { inputSize: 2, inChannels: 3, numClasses: 1, learnSigma: false, classDropoutProb: 0.1 };
    this.bind();
  }

  stages() {
    return [];
  }

  forward(x: Tensor<'N C H W'>, { t }: Condition): Unlabelled {
    const objective = createObjective(this.objective);
    const denoise =
      objective.kind === 'flow'
        ? exactPrediction(this.data, objective.options.path, objective.options.prediction)
        : exactNoise(this.data, objective.diffusion);
    return reshape(denoise(x, t), x.shape);
  }
}
