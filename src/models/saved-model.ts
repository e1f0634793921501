/**
 * @file A model with its weights and all that is needed to use it, and its form as a safetensors file: PyTorch keys, and
 * what the keys cannot say as metadata. A training checkpoint is the same file with more tensors in it.
 */
import * as v from 'valibot';
import { CheckpointError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { objectiveSchema } from '../diffusion/objective-schema.ts';
import type { ObjectiveSpec } from '../diffusion/objectives.ts';
import type { Denoiser } from '../networks/denoisers/denoiser.ts';
import { modelSpecSchema } from '../networks/options.ts';
import type { ModelSpec } from '../networks/registry.ts';

/** How a model is guided when nothing else is asked for, where that differs from the defaults of its kind. */
export interface SuggestedGuidance {
  readonly cfgScale?: number;
  /** Times from which steps are guided; see `GuidanceInterval`. */
  readonly cfgInterval?: readonly [lo: number, hi: number];
}

/** What a checkpoint says about itself. */
export interface ModelCard {
  /** As the user named it: a preset such as `U-DiT-XS`. */
  readonly name: string;
  readonly spec: ModelSpec;
  readonly objective: ObjectiveSpec;
  readonly classNames: readonly string[];
  /** Optimizer updates so far; 0 where nobody knows. */
  readonly step: number;
  /** Training images seen so far; 0 where nobody knows. */
  readonly nimg: number;
  /** The version of udit that wrote it. */
  readonly version?: string;
  /** What was found to suit this model. */
  readonly guidance?: SuggestedGuidance;
}

export interface SavedModel {
  readonly card: ModelCard;
  readonly model: Denoiser;
  /** Values of all parameters by checkpoint key. */
  readonly weights: TensorMap;
  /** Which of a checkpoint's sets these are. */
  readonly source: WeightSource;
  /** What was found out or assumed of a file that does not say it, as labelled lines. */
  readonly findings: readonly (readonly [label: string, text: string])[];
}

/** Weights under training are `model`; others are averages of them, by their names, and `ema` is the usual one. */
export type WeightSet = string;
/** Files of other programs may hold one set of weights that has no name: `unnamed`. */
export type WeightSource = WeightSet;

export const FORMAT = 'udit-1';

/**
 * Tensors of a training checkpoint are grouped by prefix, sets of weights by their names; a file of bare keys holds one
 * set of weights.
 */
export const weightsPrefix = (set: WeightSet): string => `${set}.`;
/** Of a buffer that the optimizer keeps. */
export const slotPrefix = (slot: string): string => `${OPTIMIZER_GROUP}.${slot}.`;
export const OPTIMIZER_GROUP = 'optimizer';

type Metadata = Readonly<Record<string, string>>;

export function cardMetadata(card: ModelCard): Record<string, string> {
  const { name, spec, objective, classNames, step, nimg, version, guidance } = card;
  return {
    format: FORMAT,
    name,
    spec: JSON.stringify(spec),
    objective: JSON.stringify(objective),
    class_names: JSON.stringify(classNames),
    step: String(step),
    nimg: String(nimg),
    ...(version === undefined ? {} : { version }),
    ...(guidance === undefined ? {} : { guidance: JSON.stringify(guidance) }),
  };
}

const countText = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.safeInteger());
const jsonText = <S extends v.GenericSchema>(schema: S) => v.pipe(v.string(), v.parseJson(), schema);

const guidanceSchema = v.strictObject({
  cfgScale: v.exactOptional(v.number()),
  cfgInterval: v.exactOptional(v.tuple([v.number(), v.number()])),
});

const cardSchema = v.object({
  name: v.string(),
  spec: jsonText(modelSpecSchema),
  objective: jsonText(objectiveSchema),
  class_names: jsonText(v.array(v.string())),
  step: countText,
  nimg: countText,
  version: v.exactOptional(v.string()),
  guidance: v.exactOptional(jsonText(guidanceSchema)),
});

/** @throws CheckpointError if the file was not written by udit */
export function readCard({ metadata }: { readonly metadata: Metadata }, where: string): ModelCard {
  if (metadata.format !== FORMAT) {
    throw new CheckpointError({
      where,
      problem: `its metadata says format ${metadata.format ?? '(none)'}, not ${FORMAT}: it does not tell which model it belongs to`,
      fix: 'use a checkpoint written by udit train',
    });
  }
  const parsed = v.safeParse(cardSchema, metadata);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new CheckpointError({
      where,
      problem: `its metadata does not describe a model: ${v.getDotPath(issue)}: ${issue.message}`,
      fix: 'the file is damaged, or of a newer udit: write it again, or update udit',
    });
  }
  const { class_names: classNames, ...card } = parsed.output;
  return { ...card, classNames };
}

/** The tensors under one prefix, or what is known of them, without it. */
export function tensorGroup<T>(tensors: ReadonlyMap<string, T>, prefix: string): Map<string, T> {
  const group = new Map<string, T>();
  for (const [key, tensor] of tensors)
    if (key.startsWith(prefix)) group.set(key.slice(prefix.length), tensor);
  return group;
}
