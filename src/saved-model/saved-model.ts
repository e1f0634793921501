/**
 * @file A model with its weights and all that is needed to use it, and its form as a safetensors file: PyTorch keys, and
 * what the keys cannot say as metadata. A training checkpoint is the same file with more tensors in it.
 */
import { fitParameters } from '../checkpoint/fit.ts';
import type { SafetensorsFile } from '../checkpoint/safetensors.ts';
import { CheckpointError } from '../core/errors.ts';
import type { HostTensor, TensorMap } from '../core/host-tensor.ts';
import type { ObjectiveSpec } from '../diffusion/objectives.ts';
import type { Denoiser } from '../models/denoiser.ts';
import { createModel, type ModelSpec } from '../models/registry.ts';

/** What a checkpoint says about itself. */
export interface ModelCard {
  /** As the user named it: a preset such as `U-DiT-XS`. */
  readonly name: string;
  readonly spec: ModelSpec;
  readonly objective: ObjectiveSpec;
  readonly classNames: readonly string[];
  /** Optimizer updates so far. */
  readonly step: number;
  /** Training images seen so far. */
  readonly nimg: number;
}

export interface SavedModel {
  readonly card: ModelCard;
  readonly model: Denoiser;
  /** Values of all parameters by checkpoint key. */
  readonly weights: TensorMap;
  /** Which of a training checkpoint's two sets these are. */
  readonly source: WeightSet;
}

export type WeightSet = 'ema' | 'model';

const FORMAT = 'udit-1';

/** Tensors of a training checkpoint are grouped by prefix; a file of bare keys holds one set of weights. */
export const GROUP_PREFIX = {
  model: 'model.',
  ema: 'ema.',
  expAvg: 'optimizer.exp_avg.',
  expAvgSq: 'optimizer.exp_avg_sq.',
} as const;

export function cardMetadata(card: ModelCard): Record<string, string> {
  const { name, spec, objective, classNames, step, nimg } = card;
  return {
    format: FORMAT,
    name,
    spec: JSON.stringify(spec),
    objective: JSON.stringify(objective),
    class_names: JSON.stringify(classNames),
    step: String(step),
    nimg: String(nimg),
  };
}

/** @throws CheckpointError if the file was not written by udit */
export function readCard({ metadata }: SafetensorsFile, where: string): ModelCard {
  const { format, name = '', spec, objective, class_names: classNames, step, nimg } = metadata;
  if (format !== FORMAT || spec === undefined || objective === undefined || classNames === undefined) {
    throw new CheckpointError({
      where,
      problem: `its metadata says format ${format ?? '(none)'}, not ${FORMAT}: it does not tell which model it belongs to`,
      fix: 'use a checkpoint written by udit train',
    });
  }
  try {
    return {
      name,
      spec: JSON.parse(spec) as ModelSpec,
      objective: JSON.parse(objective) as ObjectiveSpec,
      classNames: JSON.parse(classNames) as string[],
      step: Number(step),
      nimg: Number(nimg),
    };
  } catch (cause) {
    throw new CheckpointError({ where, problem: 'its metadata is not valid JSON', cause });
  }
}

/** The tensors under one prefix, without it. */
export function tensorGroup(tensors: TensorMap, prefix: string): Map<string, HostTensor> {
  const group = new Map<string, HostTensor>();
  for (const [key, tensor] of tensors)
    if (key.startsWith(prefix)) group.set(key.slice(prefix.length), tensor);
  return group;
}

/**
 * A model as a file holds it. The moving average is preferred where there is one.
 *
 * @throws CheckpointError if metadata or tensors do not fit
 */
export function openSavedModel(file: SafetensorsFile, where: string, prefer: WeightSet = 'ema'): SavedModel {
  const card = readCard(file, where);
  const model = createModel(card.spec);
  const preferred = tensorGroup(file.tensors, GROUP_PREFIX[prefer]);
  const isGrouped = preferred.size > 0;
  const tensors = isGrouped ? preferred : file.tensors;
  const expected = [...model.parameters()];
  const values = fitParameters(expected, tensors, { where, model: card.name });
  return {
    card,
    model,
    weights: new Map(expected.map(({ name }, i) => [name, values[i]!])),
    source: isGrouped ? prefer : ((file.metadata.weights as WeightSet | undefined) ?? 'model'),
  };
}
