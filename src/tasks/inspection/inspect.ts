/**
 * @file What a model costs, stage by stage and as a whole: parameters, multiply-accumulates, memory of activations. All of
 * it is read off graphs, so that no weights are needed.
 */
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import { keptBytes, peakLiveBytes } from '../../engine/graph/liveness.ts';
import { type MacCounts, macsOf, sumMacs } from '../../engine/graph/macs.ts';
import { mean, square } from '../../engine/graph/operators.ts';
import { simplify } from '../../engine/graph/rewrite.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import { type Denoiser, isPartOf, type Stage } from '../../networks/denoisers/denoiser.ts';
import { countParameters } from '../../networks/nn/module.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import { traceForward } from '../../networks/trace.ts';
import { type AttentionCost, attentionCosts } from './attention-cost.ts';
import { inferenceGraph, mergedParameters } from './network-cost.ts';

export interface StageCost extends Stage {
  readonly parameters: number;
  /** Of one image, with convolutions merged. */
  readonly macs: MacCounts;
}

export interface Inspection {
  readonly spec: ModelSpec;
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
}

/** @throws ConfigError if the configuration cannot work */
export function inspectModel(spec: ModelSpec, { batch = 1 }: InspectOptions = {}): Inspection {
  const model = createModel(spec);
  const parameters = [...model.parameters()];
  const prediction = traceForward(model);
  const work = macsOf([prediction]);
  const inference = inferenceGraph(model, batch);
  return {
    spec,
    stages: model.stages.map((stage) => ({
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
      branches: sumMacs(macsOf([traceForward(model, { form: 'branches' })])),
    },
    memory: activationMemory(model, batch, inference),
    attention: attentionCosts(model.stages, work),
  };
}

/** Which loss it is hardly matters: here the mean square of the prediction. */
function activationMemory(model: Denoiser, batch: number, inference: Graph): ActivationMemory {
  const loss = mean(square(traceForward(model, { batch })));
  const trained = [...model.parameters()].filter(({ frozen }) => !frozen);
  const derivatives = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const named = trained.map(({ name }, i) => [name, derivatives[i]!] as const);
  const training = simplify(graphOf({ loss, ...Object.fromEntries(named) }));
  return {
    batch,
    inferencePeak: peakLiveBytes(inference),
    trainingPeak: peakLiveBytes(training),
    trainingKept: keptBytes(training, training.get('loss')!),
  };
}
