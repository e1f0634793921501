/**
 * @file The complexity argument of U-DiT (section 3.3 of the paper) in numbers. Scores and values of full attention cost
 * 2·T²·D for T tokens of width D. Cut into G sub-grids that attend apart, each of T/G tokens, a group costs 1/G² of it
 * and all of them 1/G.
 */
import type { MacEntry } from '../../engine/graph/macs.ts';
import { isPartOf, type Stage } from '../../networks/nn/network.ts';

/** The attention layers of one stage; all of them are alike. */
export interface AttentionCost {
  readonly stage: string;
  readonly layers: number;
  /** Of the whole feature map. */
  readonly tokens: number;
  /** Parts that attend apart, with this many queries and keys each. */
  readonly groups: number;
  readonly queries: number;
  readonly keys: number;
  /** Multiply-accumulates of all layers. */
  readonly macs: number;
  /** The same where every token attends to every other. */
  readonly fullMacs: number;
}

/** Of the stages that have attention. @param work - of one image */
export function attentionCosts(stages: readonly Stage[], work: readonly MacEntry[]): AttentionCost[] {
  return stages.flatMap((stage) => {
    const layers = work.filter(({ tensor }) => tensor.op === 'attention' && isPartOf(stage, tensor.scope));
    return layers.length === 0 ? [] : [costOfLayers(stage.name, layers)];
  });
}

function costOfLayers(stage: string, layers: readonly MacEntry[]): AttentionCost {
  const [query, key] = layers[0]!.tensor.inputs;
  const [groups, queries, width] = query!.shape as [number, number, number];
  const tokens = groups * queries;
  return {
    stage,
    layers: layers.length,
    tokens,
    groups,
    queries,
    keys: key!.shape[1]!,
    macs: layers.reduce((sum, { macs }) => sum + macs, 0),
    fullMacs: layers.length * 2 * tokens ** 2 * width,
  };
}
