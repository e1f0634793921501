/** @file What every network that describes pictures by features is, seen from outside. */
import type { ImageSize } from '../../core/image-size.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Network } from '../nn/network.ts';

/** Pictures [N, C, H, W] in [−1, 1] → features [N, F], such as the scores of a classifier. */
export abstract class FeatureNetwork extends Network {
  abstract override forward(x: Tensor<'N C H W'>): Unlabelled;

  ports(batch: number, { height, width }: ImageSize) {
    const x = input('x', [batch, this.config.inChannels, height, width]);
    return { inputs: { x }, outputs: { features: (this as FeatureNetwork).apply(x) } };
  }
}
