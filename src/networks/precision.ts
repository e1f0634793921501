/** @file How exactly a network computes: in float32, or with the linear layers of its blocks in int8. */
import type { Graph } from '../engine/graph/graph.ts';
import { quantizeLinears } from '../engine/graph/quantize.ts';
import { isPartOf, type Network } from './nn/network.ts';

export const PRECISIONS = ['f32', 'int8'] as const;

/**
 * `int8` is for inference on CPUs: weights are rounded to 127 steps per output channel as they are folded, and
 * activations to 256 levels each time that they are multiplied, between the extremes of the whole tensor, or of its part for a group of images. So a picture
 * depends a little on the others of its batch.
 */
export type Precision = (typeof PRECISIONS)[number];

/**
 * A graph that runs the model, in a precision. What embeds images, times and classes, and what makes images again, stays
 * in float32: these are small, and their errors show most.
 */
export function inPrecision(graph: Graph, network: Network, precision: Precision): Graph {
  if (precision === 'f32') return graph;
  const withBlocks = network.stages().filter(({ blocks }) => blocks !== undefined);
  return quantizeLinears(graph, ({ scope }) => withBlocks.some((stage) => isPartOf(stage, scope)));
}
