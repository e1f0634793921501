/**
 * @file What a model costs, stage by stage and as a whole: parameters, multiply-accumulates, memory of activations. All of
 * it is read off graphs, so that no weights are needed.
 */
import type { ImageSize } from '../../core/image-size.ts';
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import { keptBytes, peakLiveBytes } from '../../engine/graph/liveness.ts';
import { type MacCounts, macsOf, sumMacs } from '../../engine/graph/macs.ts';
import { add, mean, square } from '../../engine/graph/operators.ts';
import { simplify } from '../../engine/graph/rewrite.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import type { NetworkSpec, Role } from '../../networks/family.ts';
import { countParameters } from '../../networks/nn/module.ts';
import { isPartOf, type Network, type Stage, trainedSizeOf } from '../../networks/nn/network.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import { type NetworkTrace, traceNetwork } from '../../networks/trace.ts';
import { type AttentionCost, attentionCosts } from './attention-cost.ts';
import { inferenceGraph, mergedParameters } from './network-cost.ts';

export interface StageCost extends Stage {
  readonly parameters: number;
  /** Of one image, with convolutions merged. */
  readonly macs: MacCounts;
}

/** What a network of any role costs. */
export interface NetworkInspection {
  /** At which everything is counted. */
  readonly size: ImageSize;
  readonly stages: readonly StageCost[];
  readonly parameters: {
    /** In a checkpoint. */
    readonly all: number;
    readonly trained: number;
    /** What is left for drawing once kernels are merged and positions that are not used are gone. */
    readonly merged: number;
  };
  /** Of one image. */
  readonly macs: {
    readonly merged: MacCounts;
    /** With the parallel and stacked convolutions apart, as the original trains. */
    readonly branches: MacCounts;
  };
  readonly memory: ActivationMemory;
  /** Of each stage that has attention. */
  readonly attention: readonly AttentionCost[];
}

export interface Inspection extends NetworkInspection {
  readonly role: Role;
  readonly spec: NetworkSpec;
}

/** Bytes of values in float32; parameters, inputs and results are not among them. */
export interface ActivationMemory {
  readonly batch: number;
  /** Drawing: most alive at once. */
  readonly inferencePeak: number;
  /** Loss and gradients: most alive at once. */
  readonly trainingPeak: number;
  /** Computed on the way to the loss and read again on the way back. */
  readonly trainingKept: number;
}

export interface InspectOptions {
  /** Images at once, for the memory of activations. Default 1. */
  readonly batch?: number;
  /** In pixels, or in latents for a model of latents. Default: the size that the model was trained at. */
  readonly size?: ImageSize | undefined;
}

/** @throws ConfigError if the configuration cannot work */
export function inspectModel(spec: ModelSpec, options: InspectOptions = {}): Inspection {
  return { role: 'denoiser', spec, ...inspectNetwork(createModel(spec), options) };
}

export function inspectNetwork(
  network: Network,
  { batch = 1, size = trainedSizeOf(network.config) }: InspectOptions = {},
): NetworkInspection {
  const parameters = [...network.parameters()];
  const work = macsOf(outputsOf(network, { size }));
  const inference = inferenceGraph(network, { batch, size });
  const stages = network.stages(size);
  return {
    size,
    stages: stages.map((stage) => ({
      ...stage,
      parameters: countParameters(parameters.filter(({ name }) => isPartOf(stage, name))),
      macs: sumMacs(work.filter(({ tensor }) => isPartOf(stage, tensor.scope))),
    })),
    parameters: {
      all: countParameters(parameters),
      trained: countParameters(parameters.filter(({ frozen }) => !frozen)),
      merged: mergedParameters(inference),
    },
    macs: {
      merged: sumMacs(work),
      branches: sumMacs(macsOf(outputsOf(network, { size, form: 'branches' }))),
    },
    memory: activationMemory(network, { batch, size }, inference),
    attention: attentionCosts(stages, work),
  };
}

/** Which loss it is hardly matters: here the mean squares of what it gives. */
function activationMemory(
  network: Network,
  at: { readonly batch: number; readonly size: ImageSize },
  inference: Graph,
): ActivationMemory {
  const [first, ...others] = outputsOf(network, at).map((output) => mean(square(output)));
  const loss = others.reduce<Unlabelled>(add, first!);
  const trained = [...network.parameters()].filter(({ frozen }) => !frozen);
  const derivatives = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const named = trained.map(({ name }, i) => [name, derivatives[i]!] as const);
  const training = simplify(graphOf({ loss, ...Object.fromEntries(named) }));
  return {
    batch: at.batch,
    inferencePeak: peakLiveBytes(inference),
    trainingPeak: peakLiveBytes(training),
    trainingKept: keptBytes(training, training.get('loss')!),
  };
}

function outputsOf(network: Network, at: NetworkTrace): Unlabelled[] {
  return Object.values(traceNetwork(network, at).outputs);
}
