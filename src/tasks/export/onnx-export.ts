/** @file A saved model as standard ONNX: the network alone, one guided step of a sampler, or all of its steps. */

import type { TensorMap } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';
import { sourceOf, type TensorSource } from '../../core/tensor-source.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import type { SamplingPlan } from '../../diffusion/sampling-plan.ts';
import { computeWeights, splitForInference, type WriteWeight } from '../../engine/compile/inference.ts';
import type { Graph } from '../../engine/graph/graph.ts';
import { TRACED_BATCH_SIZES, withDynamicBatch } from '../../engine/onnx/dynamic-batch.ts';
import { embedValues } from '../../engine/onnx/embed-values.ts';
import { lowerToParts } from '../../engine/onnx/lower.ts';
import { lowerLoop } from '../../engine/onnx/lower-loop.ts';
import { type LowerOptions, PORTABLE } from '../../engine/onnx/lowering.ts';
import {
  type ModelInParts,
  type ModelValue,
  modelValues,
  serialiseModel,
} from '../../engine/onnx/model-writer.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { cardMetadata, type SavedModel } from '../../models/saved-model.ts';
import type { PositionScaling } from '../../networks/nn/position-scaling.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import type { TraceAt } from '../../networks/trace.ts';
import { chooseSettings, type RequestedSettings, type SamplingSettings } from '../sampling/settings.ts';
import { memoryOutput } from '../sampling/step-graph.ts';
import { denoiserGraph, numberedStepGraph, STEP_INPUT } from './export-graph.ts';

/** `denoiser`: the network. `guided-step`: network, guidance and a sampler's update. `sampler`: a loop over its steps. */
export type ExportedPart = 'denoiser' | 'guided-step' | 'sampler';

export interface OnnxExportOptions {
  readonly what: ExportedPart;
  /** How images are drawn; of no meaning for the denoiser. */
  readonly settings?: RequestedSettings;
  /** Of the images or latents. Default: the size that the model was trained at. */
  readonly size?: ImageSize | undefined;
  /** What positions outside the trained grid are. Default none: they go on. */
  readonly positionScaling?: PositionScaling | undefined;
  /** Default f32. */
  readonly precision?: Precision | undefined;
  /** Images per run. By default any number: the axis is called `N`. */
  readonly batchSize?: number | undefined;
  /** Written into the file beside what is known of the model. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Name of the file beside the model that holds the weights, if they are not put into it. */
  readonly dataFile?: string;
}

/** A model that is complete but for the values of its weights. */
export interface OnnxExport {
  readonly what: ExportedPart;
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** How it draws; undefined for the denoiser. */
  readonly drawing: Drawing | undefined;
  readonly batchSize: number | undefined;
  /** At which size it was traced, and how. */
  readonly traceAt: TraceAt;
  readonly precision: Precision;
  readonly metadata: Readonly<Record<string, string>>;
  readonly model: ModelInParts;
  /** What is computed of the weights, by the names that the model has for it. */
  readonly folded: Graph;
}

/** A sampler's settings and the steps they lead to. */
export interface Drawing {
  readonly settings: SamplingSettings;
  readonly plan: SamplingPlan;
}

/** What is exported of a saved model. */
export interface ExportedModel extends Pick<SavedModel, 'card' | 'model' | 'source'> {
  readonly weights: TensorMap | TensorSource;
}

const FORMAT = 'udit-onnx-1';

/**
 * Builds the model. It needs standard operators only (opset 23), with parallel and stacked convolutions merged.
 *
 *     const sampler = exportOnnx(saved, { what: 'sampler', settings: { steps: 4 } });
 *     const file = await serialiseExport(sampler, saved.weights, cpuBackend);
 *     console.log(file.length);
 *
 * @throws ConfigError if the settings do not fit the model or each other
 */
export function exportOnnx(saved: Omit<ExportedModel, 'weights'>, options: OnnxExportOptions): OnnxExport {
  const { what, batchSize, size, positionScaling, precision = 'f32', dataFile = 'model.onnx.data' } = options;
  const traceAt = { size, positionScaling };
  const drawing = what === 'denoiser' ? undefined : planDrawing(saved, options.settings);
  const build = (count: number): Graph =>
    drawing === undefined
      ? denoiserGraph(saved.model, count, traceAt)
      : numberedStepGraph(saved.model, drawing.plan, drawing.settings, count, {
          allNoise: what === 'sampler',
          ...traceAt,
        });
  const metadata = describeExport(saved, what, drawing, {
    precision,
    ...(size === undefined ? {} : { size: formatImageSize(size) }),
    ...(positionScaling === undefined ? {} : { position_scaling: positionScaling }),
    ...options.metadata,
  });
  const lowerOptions: LowerOptions = { features: PORTABLE, weights: { dataFile }, metadata };
  const lower = (graph: Graph): ModelInParts =>
    what === 'sampler' ? lowerSampler(graph, drawing!.plan, lowerOptions) : lowerToParts(graph, lowerOptions);

  const sizes = batchSize === undefined ? TRACED_BATCH_SIZES : [batchSize];
  const graphs = sizes.map((size) => splitForInference(inPrecision(build(size), saved.model, precision)));
  const models = graphs.map(({ rest }) => lower(rest));
  if (batchSize === undefined) withDynamicBatch(models.map(({ proto }) => proto));
  // What is folded depends on weights alone, so it is the same for all batch sizes.
  const [{ folded }, model] = [graphs[0]!, models[0]!];
  return {
    what,
    ...modelValues(model.proto),
    drawing,
    batchSize,
    traceAt,
    precision,
    metadata,
    model,
    folded,
  };
}

/** Computes the weights of an export one at a time. Takes the backend that folds them. */
export async function exportWeights(
  { model, folded }: OnnxExport,
  weights: TensorMap | TensorSource,
  backend: Backend,
  write: WriteWeight,
): Promise<void> {
  const source = 'infos' in weights ? weights : sourceOf(weights);
  await computeWeights(model.external, folded, source, backend, write);
}

/** The whole model as one file, weights and all. It can have 2 GB at most. */
export async function serialiseExport(
  exported: OnnxExport,
  weights: TensorMap | TensorSource,
  backend: Backend,
): Promise<Uint8Array> {
  const values = new Map<string, Uint8Array>();
  await exportWeights(exported, weights, backend, (bytes, { name }) => void values.set(name, bytes));
  return serialiseModel(embedValues(exported.model.proto, values));
}

function planDrawing(
  { card, model }: Pick<ExportedModel, 'card' | 'model'>,
  requested: RequestedSettings | undefined,
): Drawing {
  const objective = createObjective(card.objective);
  const settings = chooseSettings(objective.kind, model.config, requested, card.guidance);
  return { settings, plan: planSampling(objective, settings.sampler, settings) };
}

function lowerSampler(step: Graph, { steps, memory }: SamplingPlan, options: LowerOptions): ModelInParts {
  const images = { input: 'x', output: 'next', first: 'noise', last: 'images' };
  const remembered = memory.map((name) => ({ input: name, output: memoryOutput(name) }));
  const carried = [images, ...remembered];
  return lowerLoop(step, { ...options, count: steps.length, index: STEP_INPUT, carried });
}

/** Everything that a program needs to use the file without this project. */
function describeExport(
  { card, source }: Pick<ExportedModel, 'card' | 'source'>,
  what: ExportedPart,
  drawing: Drawing | undefined,
  further: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    ...cardMetadata(card),
    format: FORMAT,
    what,
    weights: source,
    ...(drawing === undefined ? {} : { sampler: JSON.stringify(describeDrawing(drawing)) }),
    ...further,
  };
}

function describeDrawing({ settings, plan }: Drawing) {
  return { ...settings, stepCount: plan.steps.length, memory: plan.memory };
}
