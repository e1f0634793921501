/** @file A saved model as standard ONNX: the network alone, one guided step of a sampler, or all of its steps. */

import { ConfigError } from '../../core/errors.ts';
import type { TensorMap } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { sourceOf, type TensorSource } from '../../core/tensor-source.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import type { SamplingPlan } from '../../diffusion/sampling-plan.ts';
import { computeWeights, splitForInference, type WriteWeight } from '../../engine/compile/inference.ts';
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import { TRACED_BATCH_SIZES, withDynamicBatch } from '../../engine/onnx/dynamic-batch.ts';
import { embedValues } from '../../engine/onnx/embed-values.ts';
import { lowerToParts } from '../../engine/onnx/lower.ts';
import { lowerLoop } from '../../engine/onnx/lower-loop.ts';
import { type LoweringFeatures, type LowerOptions, OLDER, PORTABLE } from '../../engine/onnx/lowering.ts';
import {
  type ModelInParts,
  type ModelValue,
  modelValues,
  serialiseModel,
} from '../../engine/onnx/model-writer.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { cardMetadata, type SavedNetwork } from '../../models/saved-model.ts';
import { Denoiser } from '../../networks/denoisers/denoiser.ts';
import type { Role } from '../../networks/family.ts';
import type { Network } from '../../networks/nn/network.ts';
import type { PositionScaling } from '../../networks/nn/position-scaling.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import { type TraceAt, traceNetwork } from '../../networks/trace.ts';
import { chooseDrawing } from '../sampling/choose-drawing.ts';
import type { RequestedSettings, SamplingSettings } from '../sampling/settings.ts';
import { memoryOutput } from '../sampling/step-graph.ts';
import { numberedStepGraph, STEP_INPUT } from './export-graph.ts';

/**
 * `denoiser`: the network. `guided-step`: network, guidance and a sampler's update. `sampler`: a loop over its steps. Of
 * other networks than denoisers: `network`.
 */
export type ExportedPart = 'denoiser' | 'guided-step' | 'sampler' | 'network';

export interface OnnxExportOptions {
  readonly what: ExportedPart;
  /** Of a `network`: which of its outputs, as in `images` for the decoder of an autoencoder. Default: all. */
  readonly outputs?: readonly string[] | undefined;
  /** How images are drawn; of no meaning for the denoiser. */
  readonly settings?: RequestedSettings;
  /** In pixels, or in latents for a model of latents. Default: the size that the model was trained at. */
  readonly size?: ImageSize | undefined;
  /** What positions outside the trained grid are. Default none: they go on. */
  readonly positionScaling?: PositionScaling | undefined;
  /** Default f32. */
  readonly precision?: Precision | undefined;
  /** Version of the standard operators: 23 (default), or 17 for runtimes since 2022, whose attention is slower. */
  readonly opset?: number | undefined;
  /** Images per run. By default any number: the axis is called `N`. */
  readonly batchSize?: number | undefined;
  /** Written into the file beside what is known of the model. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Name of the file beside the model that holds the weights, if they are not put into it. */
  readonly dataFile?: string;
}

export const EXPORT_OPTIONS: OptionTable<OnnxExportOptions> = {
  what: 'needed',
  ...({ outputs: 'optional', settings: 'optional', size: 'optional', positionScaling: 'optional' } as const),
  ...({ precision: 'optional', batchSize: 'optional' } as const),
  ...({ metadata: 'optional', dataFile: 'optional', opset: 'optional' } as const),
};

/** A model that is complete but for the values of its weights. */
export interface OnnxExport {
  readonly what: ExportedPart;
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** The network alone, where it is exported so. */
  readonly network: NetworkGraph | undefined;
  /** How it draws; undefined for the network alone. */
  readonly drawing: Drawing | undefined;
  readonly batchSize: number | undefined;
  /** At which size it was traced, and how. */
  readonly traceAt: TraceAt;
  readonly precision: Precision;
  readonly opset: number;
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

/** What is exported of a saved network. */
export interface ExportedNetwork<R extends Role = Role>
  extends Pick<SavedNetwork<R>, 'card' | 'network' | 'source'> {
  readonly weights: TensorMap | TensorSource;
}

export type ExportedModel = ExportedNetwork<'denoiser'>;

/** A network on inputs of its own, for so many images. */
export type NetworkGraph = (batchSize: number) => Graph;

const FORMAT = 'udit-onnx-1';

/**
 * Builds the model. It needs standard operators only, with parallel and stacked convolutions merged.
 *
 *     const sampler = exportOnnx(saved, { what: 'sampler', settings: { steps: 4 } });
 *     const file = await serialiseExport(sampler, saved.weights, cpuBackend);
 *     console.log(file.length);
 *
 * @throws ConfigError if the settings do not fit the model or each other
 */
export function exportOnnx(saved: Omit<ExportedNetwork, 'weights'>, options: OnnxExportOptions): OnnxExport {
  expectOptions(options, 'exportOnnx', EXPORT_OPTIONS);
  const { what, batchSize, size, positionScaling, precision = 'f32', dataFile = 'model.onnx.data' } = options;
  const features = featuresOf(options.opset);
  const traceAt = { size, positionScaling };
  const { network } = saved;
  const drawing = drawingOf(saved, options);
  const evaluation = drawing === undefined ? networkOf(network, options) : undefined;
  const build = (count: number): Graph =>
    evaluation !== undefined
      ? evaluation(count)
      : numberedStepGraph(network as Denoiser, drawing!.plan, drawing!.settings, count, {
          allNoise: what === 'sampler',
          ...traceAt,
        });
  const metadata = describeExport(saved, what, drawing, {
    precision,
    ...(size === undefined ? {} : { size: formatImageSize(size) }),
    ...(positionScaling === undefined ? {} : { position_scaling: positionScaling }),
    ...options.metadata,
  });
  const lowerOptions: LowerOptions = { features, weights: { dataFile }, metadata };
  const lower = (graph: Graph): ModelInParts =>
    what === 'sampler' ? lowerSampler(graph, drawing!.plan, lowerOptions) : lowerToParts(graph, lowerOptions);

  const sizes = batchSize === undefined ? TRACED_BATCH_SIZES : [batchSize];
  const graphs = sizes.map((size) => splitForInference(inPrecision(build(size), network, precision)));
  const lowered = graphs.map(({ rest }) => lower(rest));
  if (batchSize === undefined) withDynamicBatch(lowered.map(({ proto }) => proto));
  // What is folded depends on weights alone, so it is the same for all batch sizes.
  const [{ folded }, parts] = [graphs[0]!, lowered[0]!];
  return {
    what,
    ...modelValues(parts.proto),
    network: evaluation,
    drawing,
    batchSize,
    traceAt,
    precision,
    opset: features.opset,
    metadata,
    model: parts,
    folded,
  };
}

const TARGETS = [OLDER, PORTABLE];

/** Versions of the standard operators that are written. */
export const OPSETS: readonly number[] = TARGETS.map(({ opset }) => opset);

function featuresOf(opset: number = PORTABLE.opset): LoweringFeatures {
  const found = TARGETS.find((features) => features.opset === opset);
  if (found !== undefined) return found;
  throw new ConfigError({
    where: 'exportOnnx',
    problem: `opset ${opset} is not written`,
    fix: `use opset ${OPSETS.join(' or ')}: newer runtimes read both`,
  });
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

/** @throws ConfigError where a part is asked for that a network of this role does not have */
function drawingOf(
  saved: Omit<ExportedNetwork, 'weights'>,
  { what, settings }: OnnxExportOptions,
): Drawing | undefined {
  const isDenoiser = saved.network instanceof Denoiser;
  if (isDenoiser && what !== 'network') {
    return what === 'denoiser' ? undefined : planDrawing(saved as ExportedModel, settings);
  }
  if (!isDenoiser && what === 'network') return undefined;
  throw new ConfigError({
    where: 'exportOnnx',
    problem: `what is "${what}", but this is ${isDenoiser ? 'a denoiser' : 'no denoiser'}`,
    fix: isDenoiser ? 'use "denoiser", "guided-step" or "sampler"' : 'use "network"',
  });
}

/** @throws ConfigError for an output that the network does not have */
function networkOf(
  model: Network,
  { size, positionScaling, outputs: wanted }: OnnxExportOptions,
): NetworkGraph {
  return (batch) => {
    const { outputs } = traceNetwork(model, { batch, size, positionScaling });
    if (wanted === undefined) return graphOf(outputs);
    const unknown = wanted.find((name) => !Object.hasOwn(outputs, name));
    if (unknown === undefined)
      return graphOf(Object.fromEntries(wanted.map((name) => [name, outputs[name]!])));
    throw new ConfigError({
      where: 'exportOnnx',
      problem: `there is no output "${unknown}"`,
      fix: `choose among ${Object.keys(outputs).join(', ')}`,
    });
  };
}

function planDrawing(
  { card, network }: Pick<ExportedModel, 'card' | 'network'>,
  requested: RequestedSettings | undefined,
): Drawing {
  const { objective, settings } = chooseDrawing({ card, network }, requested);
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
  { card, source }: Pick<ExportedNetwork, 'card' | 'source'>,
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
