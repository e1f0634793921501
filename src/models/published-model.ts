/** @file What kind of model the weights of another program belong to, from what the user says and their shapes show. */
import { CheckpointError } from '../core/errors.ts';
import { isSquare, parseImageSize, type WrittenImageSize, writtenImageSize } from '../core/image-size.ts';
import { sizeInSpace, usualSpace } from '../core/image-space.ts';
import type { TensorInfo } from '../core/tensor-source.ts';
import { REFERENCE_GAUSSIAN_OPTIONS } from '../diffusion/gaussian/gaussian.ts';
import { PRESETS, presetSpec } from '../networks/presets.ts';
import { type RecognisedModel, recogniseModel } from '../networks/recognise.ts';
import { labelsOf } from '../networks/recognise-shapes.ts';
import type { ModelSpec } from '../networks/registry.ts';
import type { ModelCard, SavedModel } from './saved-model.ts';

/** What the user says of a file that does not say it. */
export interface PublishedRequest {
  /** Default: what the shapes of its tensors show. */
  readonly preset?: string | undefined;
  readonly numClasses?: number | undefined;
  /**
   * Of the pictures that it was trained on, in pixels, where its tensors do not show it. A size that is no square counts
   * for files with a table of positions only; networks without one can be traced at any size.
   */
  readonly imageSize?: WrittenImageSize | undefined;
}

export interface ModelDescription {
  readonly card: ModelCard;
  readonly findings: SavedModel['findings'];
  /** What to do if its tensors do not fit after all. */
  readonly advice: string | undefined;
}

/** What `--image-size` of a training script can be: of other sizes some networks could not be built. */
const SIDE_UNIT = 64;
const MAX_SIDE = 4096;

/**
 * @param metadata - of the file, which may hold arguments of the script that trained it
 * @throws CheckpointError if the shapes are those of no known model, and the user names none
 * @throws ConfigError if what the user says cannot be
 */
export function describePublished(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: Readonly<Record<string, string>>,
  where: string,
  request: PublishedRequest,
): ModelDescription {
  const script = metadata['args.model'];
  const recognised = asFlow(asTrained(recogniseModel(tensors), script));
  const { name, spec, assumed } = named(request) ?? recognised ?? unknown(tensors, where);
  const argument = wholeNumber(metadata['args.image_size'], { unit: SIDE_UNIT, max: MAX_SIDE });
  const told = toldSize(tensors, request);
  const imageSize = told ?? ('inputSize' in assumed ? argument : undefined);
  const inputSize = shownSize(spec, recognised) ?? (imageSize && inputSizeOf(imageSize, spec));
  const changes = {
    ...labelsIn(tensors, metadata, request),
    ...(inputSize === undefined ? {} : { inputSize }),
  };
  const changed = { ...spec, config: { ...spec.config, ...changes } } as ModelSpec;
  const assumptions = Object.keys(assumed)
    .filter((option) => option !== 'inputSize' || told === undefined)
    .map((option) => describeOption(option, changed));
  return {
    card: { ...PUBLISHED_CARD, name, spec: changed, objective: objectiveOf(changed) },
    findings: [
      ...(request.preset === undefined ? [['model', describeModel(name, changed)] as const] : []),
      ...(script === undefined ? [] : [['script', `it was trained as --model ${script}`] as const]),
      ['assumed', [...assumptions, describeObjective(changed)].join(', ')],
    ],
    advice: adviceFrom(request, recognised),
  };
}

/** The number of classes, where the user or the training script says it, and whether its table has a null label. */
function labelsIn(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: Readonly<Record<string, string>>,
  { numClasses, preset }: PublishedRequest,
): Partial<ReturnType<typeof labelsOf>> {
  const rows = [...tensors].find(([name]) => name.endsWith('.embedding_table.weight'))?.[1].shape[0];
  if (rows === undefined) return numClasses === undefined ? {} : { numClasses };
  if (numClasses !== undefined) return labelsOf(rows, numClasses);
  const argument = wholeNumber(metadata['args.num_classes'], { unit: 1, max: rows });
  const isTrue = rows === argument || rows - 1 === argument;
  return preset === undefined && isTrue ? labelsOf(rows, argument) : {};
}

/** A positive multiple of `unit`, if an argument of a script is one. */
function wholeNumber(
  text: string | undefined,
  { unit, max }: { readonly unit: number; readonly max: number },
): number | undefined {
  const value = /^\d+$/.test(text ?? '') ? Number(text) : 0;
  return value > 0 && value <= max && value % unit === 0 ? value : undefined;
}

const PUBLISHED_CARD = { classNames: [], step: 0, nimg: 0 };

function named({ preset }: PublishedRequest): RecognisedModel | undefined {
  return preset === undefined ? undefined : { name: preset, spec: presetSpec(preset), assumed: {} };
}

/** DiT and SiT have the same tensors; the script that trained them was told which one it is. */
function asTrained(
  recognised: RecognisedModel | undefined,
  script: string | undefined,
): RecognisedModel | undefined {
  if (recognised === undefined || script === undefined || !Object.hasOwn(PRESETS, script)) return recognised;
  const { family, config } = PRESETS[script]!;
  const isTwin = family === recognised.spec.family && 'discardSigma' in config && config.discardSigma;
  if (!isTwin) return recognised;
  const { inputSize, inChannels, numClasses } = recognised.spec.config;
  const spec = { family, config: { ...config, inputSize, inChannels, numClasses } } as ModelSpec;
  return { ...recognised, name: script, spec };
}

/** Without channels for a variance, DiT's network is SiT's. */
function asFlow(recognised: RecognisedModel | undefined): RecognisedModel | undefined {
  if (recognised === undefined || objectiveOf(recognised.spec).kind !== 'flow') return recognised;
  return { ...recognised, name: recognised.name.replace(/^DiT/, 'SiT') };
}

function unknown(tensors: ReadonlyMap<string, TensorInfo>, where: string): never {
  const names = [...tensors.keys()];
  throw new CheckpointError({
    where,
    problem: `its ${names.length} tensors fit no known model`,
    facts: [['tensors', `${names.slice(0, 3).join('   ')} …`]],
    fix: 'name its model with --model, as in --model DiT-XL/2',
  });
}

/** The size that its tensors show, such as the positions of DiT; undefined where they show none. */
function shownSize(
  { family }: ModelSpec,
  recognised: RecognisedModel | undefined,
): WrittenImageSize | undefined {
  if (recognised === undefined || recognised.spec.family !== family) return undefined;
  return 'inputSize' in recognised.assumed ? undefined : recognised.spec.config.inputSize;
}

/** The size of the training, where the request says it. */
function toldSize(
  tensors: ReadonlyMap<string, TensorInfo>,
  { imageSize }: PublishedRequest,
): WrittenImageSize | undefined {
  if (imageSize === undefined) return undefined;
  return isSquare(parseImageSize(imageSize)) || tensors.has('pos_embed') ? imageSize : undefined;
}

function inputSizeOf(imageSize: WrittenImageSize, { config }: ModelSpec): WrittenImageSize {
  return writtenImageSize(sizeInSpace(usualSpace(config.inChannels), parseImageSize(imageSize)));
}

/**
 * As all released checkpoints of these families were trained. With channels for a variance, SiT is told from DiT by
 * --model alone; without them it is SiT's network, for DiT learns a variance.
 */
function objectiveOf({ family, config }: ModelSpec): ModelCard['objective'] {
  const isFlow = 'discardSigma' in config && config.discardSigma;
  if (isFlow || (family !== 'U-DiT' && !config.learnSigma)) return { kind: 'flow', timeScale: 1 };
  return { kind: 'gaussian', ...(config.learnSigma ? {} : { variance: 'fixed-large' }) };
}

function describeModel(name: string, { config }: ModelSpec): string {
  return `${name} for ${config.numClasses} classes, recognised by the shapes of its tensors`;
}

function describeOption(option: string, { config }: ModelSpec): string {
  return `${option} ${String((config as unknown as Record<string, unknown>)[option])}`;
}

function describeObjective(spec: ModelSpec): string {
  if (objectiveOf(spec).kind === 'flow') return 'a flow with times from 0 to 1';
  const { steps, schedule } = REFERENCE_GAUSSIAN_OPTIONS;
  const variance = spec.config.learnSigma ? 'learned' : 'fixed';
  return `Gaussian diffusion in ${steps} ${schedule} steps with ${variance} variance`;
}

function adviceFrom(
  { preset }: PublishedRequest,
  recognised: RecognisedModel | undefined,
): string | undefined {
  if (preset === undefined || recognised === undefined) return undefined;
  return recognised.name === preset
    ? 'leave --model out: its options, which differ from the preset, are recognised by their shapes'
    : `its tensors are those of ${recognised.name}: leave --model out`;
}
