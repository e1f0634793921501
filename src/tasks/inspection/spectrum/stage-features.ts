/** @file Where in a traced network the features of its stages are. */
import { reshape } from '../../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../../engine/graph/tensor.ts';
import { topologicalOrder } from '../../../engine/graph/traverse.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { isPartOf, type Stage } from '../../../networks/nn/network.ts';

/** What a stage hands on. */
export interface StageFeatures {
  readonly stage: Stage & Required<Pick<Stage, 'map'>>;
  /** [N, H, W, C] */
  readonly features: Unlabelled;
}

/**
 * The features of every stage that has a feature map, in the order of the data flow. The last stage is left out: what it
 * hands on is the prediction.
 *
 * @param prediction - of `model`, traced
 */
export function stageFeatures(model: Denoiser, prediction: Tensor): StageFeatures[] {
  const order = topologicalOrder([prediction]);
  return model
    .stages()
    .slice(0, -1)
    .flatMap((stage) => {
      const { map } = stage;
      if (map === undefined) return [];
      const shape = [prediction.shape[0]!, map.height, map.width, map.channels];
      const size = shape.reduce((product, length) => product * length, 1);
      // Maps [N, H, W, C] and tokens [N, H·W, C] lie alike.
      const isMap = ({ shape: own }: Tensor) =>
        own[0] === shape[0] &&
        own.at(-1) === map.channels &&
        own.reduce((product, n) => product * n, 1) === size;
      const last = order.findLast((tensor) => isPartOf(stage, tensor.scope) && isMap(tensor));
      if (last === undefined) throw new Error(`stage ${stage.name} makes no map ${shape}`);
      return [{ stage: { ...stage, map }, features: reshape(last, shape) }];
    });
}
