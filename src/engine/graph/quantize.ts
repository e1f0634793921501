/** @file Rewriting linear maps so that they are computed in int8. */
import type { Graph } from './graph.ts';
import { quantizedLinear, quantizeWeight, weightScales } from './operators.ts';
import { keep, mapGraph } from './rewrite.ts';
import { splitLinears } from './specialise.ts';
import type { Tensor } from './tensor.ts';

/**
 * Weights go from −63 to 63, not to 127: two products with bytes then fit into the int16 in which processors without
 * VNNI add them, and which would saturate silently. What rounding activations costs is larger (LOG.md).
 */
const WEIGHT_LEVELS = 63;

/**
 * Linear maps of tokens compute in int8 where `isChosen` says so. Those of single vectors do not: there is nothing to
 * gain where each weight is used once.
 */
export function quantizeLinears(graph: Graph, isChosen: (linear: Tensor) => boolean): Graph {
  // Parts of a linear map have to be found first: a quantised one is not cut any more.
  return mapGraph(splitLinears(graph), (tensor, inputs) => {
    if (tensor.op !== 'linear' || tensor.shape.length < 3 || !isChosen(tensor)) return keep(tensor, inputs);
    const [x, weight, bias] = inputs;
    const scales = weightScales(weight!, WEIGHT_LEVELS);
    return quantizedLinear(x!, quantizeWeight(weight!, scales), scales, bias);
  });
}
