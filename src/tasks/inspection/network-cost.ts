/** @file What a network costs in a few numbers, without its gradients: quick enough to ask of every cell of a grid. */
import { sizeOf } from '../../core/shape.ts';
import { type Graph, graphOf, leavesOf } from '../../engine/graph/graph.ts';
import { macsOf, sumMacs, totalMacs } from '../../engine/graph/macs.ts';
import { simplify, splitFoldable } from '../../engine/graph/rewrite.ts';
import { countParameters } from '../../networks/nn/module.ts';
import type { Network } from '../../networks/nn/network.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import { type NetworkTrace, traceNetwork } from '../../networks/trace.ts';

export interface NetworkCost {
  /** Multiply-accumulates of one forward pass of one image, with convolutions merged. */
  readonly macs: number;
  /** In a checkpoint. */
  readonly parameters: number;
  readonly mergedParameters: number;
}

/** @throws ConfigError if the configuration cannot work */
export function networkCost(spec: ModelSpec): NetworkCost {
  const model = createModel(spec);
  return {
    macs: networkMacs(model),
    parameters: countParameters(model.parameters()),
    mergedParameters: mergedParameters(inferenceGraph(model)),
  };
}

/** Multiply-accumulates of one forward pass of one image, at the size of the training, with convolutions merged. */
export function networkMacs(network: Network): number {
  return totalMacs(sumMacs(macsOf(Object.values(traceNetwork(network).outputs))));
}

/** The forward pass with everything folded that depends on weights alone. */
export function inferenceGraph(network: Network, at: NetworkTrace = {}): Graph {
  return splitFoldable(simplify(graphOf(traceNetwork(network, at).outputs))).rest;
}

/** What is left for drawing once kernels are merged and positions that are not used are gone. */
export function mergedParameters(inference: Graph): number {
  return leavesOf(inference, 'parameter').reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
