/** @file The configuration of a training run: its schema, its defaults, and how files and flags are laid over them. */
import { closest } from 'fastest-levenshtein';
import * as v from 'valibot';
import { expectedValue, isMissingKey, isUnknownKey } from '../../../core/config-issue.ts';
import { ConfigError } from '../../../core/errors.ts';
import { count, countOrOff } from '../../../core/values.ts';
import { dataSchema } from '../../../data/datasets/data-config.ts';
import { objectiveSchema } from '../../../diffusion/objective-schema.ts';
import { samplingSchema } from '../../../diffusion/sampling-schema.ts';
import { MOST_WORKERS } from '../../../engine/runtime/session.ts';
import type { Families } from '../../../networks/family.ts';
import { isAutoencoder, trainedPreset } from '../../../networks/presets.ts';
import type { AutoencoderSpec, Family } from '../../../networks/registry.ts';
import { averagesSchema } from '../optim/averages.ts';
import { optimizerSchema } from '../optim/optimizers.ts';
import { type ConfigLayer, isLayer, overlay } from './config-layer.ts';
import { withDataKind, withoutIdleOptions } from './earlier-data.ts';
import { EARLIER_OPTIMIZER_KEYS, separateEma, withEma } from './earlier-ema.ts';
import { AUTOENCODER_SCHEMAS, modelSchemaOf } from './model-options.ts';
import { DEFAULT_PRESET, recipeFor } from './recipes.ts';

const trainingSchema = v.strictObject({
  /** Optimizer updates in all; a cosine schedule ends there. */
  steps: count,
  batchSize: count,
  /** Images that are in memory at once: gradients are added up over the batch. Divides it; null takes it whole. */
  microBatch: countOrOff,
  /** Parts of a micro-batch that are worked on side by side; more cores than this do not help. Divides it. */
  shards: count,
  /** Values inside of blocks are computed again for their gradients, which takes a third more time and less memory. */
  recompute: v.boolean(),
  /** A run, file or name of fetched weights that the run begins with; null begins with random ones. */
  initFrom: v.nullable(v.string()),
  /** What class tables begin with that do not fit: random numbers, the default, or the average of the file's classes. */
  initClasses: v.exactOptional(v.picklist(['new', 'average'])),
  seed: v.pipe(v.number(), v.safeInteger()),
});

/** Distances of samples from the data, the smaller the better. */
export const SCORE_NAMES = ['swd', 'fid', 'sfid', 'kid', 'mind'] as const;
export type ScoreName = (typeof SCORE_NAMES)[number];

const loggingSchema = v.strictObject({
  logEvery: count,
  /** Steps between sample sheets; null draws none. */
  sampleEvery: countOrOff,
  /** Steps between held-out losses; null measures none. */
  evaluateEvery: countOrOff,
  /** Scores of samples of the averaged model against the data, in `stats.jsonl` too. */
  scores: v.optional(v.array(v.picklist(SCORE_NAMES)), []),
  /** Steps between scores; null takes those of held-out losses. */
  scoreEvery: v.optional(countOrOff, null),
  /** That are drawn for scores. */
  scoreSamples: v.optional(count, 2000),
  /** How they are drawn; what is left open is as it suits the model. */
  scoreSampling: v.exactOptional(samplingSchema),
  /** A file of statistics that scores are measured against. Default: the data. */
  scoreReference: v.exactOptional(v.string()),
  /** The checkpoint that is best by this score is kept; null keeps none for it. */
  keepBest: v.optional(v.nullable(v.picklist(SCORE_NAMES)), null),
  ckptEvery: count,
  /** This many latest checkpoints are kept … */
  keepLast: count,
  /** … and every one whose step is a multiple of this; null keeps no others. */
  keepEvery: countOrOff,
});

const weight = v.pipe(v.number(), v.minValue(0));

/** What an autoencoder learns: to give its pictures back. The distance of their values weighs 1. */
const reconstructionSchema = v.strictObject({
  kind: v.literal('reconstruction'),
  /** Of the distance of the differences between neighbouring pixels, which keeps edges sharp. */
  gradientWeight: weight,
  /** Of the divergence of the latents from the standard normal distribution, in nats per value of the picture. */
  klWeight: weight,
});

/** What all runs have, whatever they train. */
const shared = {
  data: dataSchema,
  optimizer: optimizerSchema,
  averages: averagesSchema,
  training: trainingSchema,
  logging: loggingSchema,
};

const denoiserRun = (family: Family, families: Families) =>
  v.strictObject({ model: modelSchemaOf(family, families), objective: objectiveSchema, ...shared });

const autoencoderRun = (family: AutoencoderSpec['family']) =>
  v.strictObject({
    model: AUTOENCODER_SCHEMAS[family],
    objective: v.variant('kind', [reconstructionSchema]),
    ...shared,
  });

type ConfigSchema = ReturnType<typeof denoiserRun | typeof autoencoderRun>;

/** Of a run that trains a denoiser. */
export type TrainConfig = v.InferOutput<ReturnType<typeof denoiserRun>>;
/** Of a run that trains an autoencoder. */
export type AutoencoderTrainConfig = v.InferOutput<ReturnType<typeof autoencoderRun>>;
export type RunConfig = TrainConfig | AutoencoderTrainConfig;
export type OptimizerConfig = TrainConfig['optimizer'];

export interface ConfigOptions {
  /** Of one's own, beside those of this project. */
  readonly families?: Families;
}

/**
 * Lays `layers` (first a file, then flags) over the recipe of the model they name.
 *
 * @param families - of one's own, whose presets the model may be, beside those of this project
 * @throws ConfigError for an unknown key or preset, naming the nearest, and for a value of the wrong kind
 */
export function resolveTrainConfig(layers: readonly ConfigLayer[], options: ConfigOptions = {}): TrainConfig {
  const config = resolveRunConfig(layers, options);
  if (!trainsAutoencoder(config)) return config;
  throw new ConfigError({
    where: 'configuration: model.preset',
    problem: `${config.model.preset} is an autoencoder; a denoiser is needed`,
    fix: 'use a denoiser, such as U-DiT-XS',
  });
}

export function trainsAutoencoder(config: RunConfig): config is AutoencoderTrainConfig {
  return config.objective.kind === 'reconstruction';
}

/** The same for a run that trains a network of any role. */
export function resolveRunConfig(
  layers: readonly ConfigLayer[],
  { families = {} }: ConfigOptions = {},
): RunConfig {
  const { given, ema } = separateEma(layers.map(withDataKind));
  const preset = presetOf([given]) ?? DEFAULT_PRESET;
  const spec = trainedPreset(preset, families);
  const schema = isAutoencoder(spec) ? autoencoderRun(spec.family) : denoiserRun(spec.family, families);
  const merged = withEma(withoutIdleOptions(overlay(recipeFor(preset, given), given)), ema);
  const result = v.safeParse(schema, merged);
  if (result.success) return expectScoredBest(expectDistinctAverages(expectWholeShards(result.output)));
  throw configError(result.issues[0], merged, schema);
}

/** The preset that the uppermost of the layers names; undefined if none does. */
export function presetOf(layers: readonly ConfigLayer[]): string | undefined {
  const named = layers.map(({ model }) => (isLayer(model) ? model.preset : undefined));
  const preset = named.findLast((name) => name !== undefined);
  return preset === undefined ? undefined : String(preset);
}

function expectWholeShards<Config extends RunConfig>(config: Config): Config {
  const { batchSize, shards } = config.training;
  const microBatch = microBatchOf(config.training);
  if (batchSize % microBatch !== 0) {
    throw new ConfigError({
      where: 'configuration: training.microBatch',
      problem: `a batch of ${batchSize} images cannot be made of equal parts of ${microBatch}`,
      fix: `use --global-batch-size ${Math.ceil(batchSize / microBatch) * microBatch}, or a micro-batch that divides ${batchSize}`,
    });
  }
  if (shards > MOST_WORKERS) {
    throw new ConfigError({
      where: 'configuration: training.shards',
      problem: `${shards} shards are too many: at most ${MOST_WORKERS} can run side by side`,
      fix: 'use as many as there are cores',
    });
  }
  if (microBatch % shards === 0) return config;
  const flag = config.training.microBatch === null ? '--global-batch-size ' : '--set training.microBatch=';
  throw new ConfigError({
    where: 'configuration: training.shards',
    problem: `a batch of ${microBatch} images cannot be cut into ${shards} equal parts`,
    fix: `use ${flag}${Math.ceil(microBatch / shards) * shards}, or --set training.shards=1`,
  });
}

/** Images of a batch that are in memory at once. */
export function microBatchOf({
  batchSize,
  microBatch,
}: Pick<TrainConfig['training'], 'batchSize' | 'microBatch'>): number {
  return microBatch ?? batchSize;
}

function expectDistinctAverages<Config extends RunConfig>(config: Config): Config {
  const names = config.averages.map(({ name }) => name);
  const again = names.find((name, i) => names.indexOf(name) !== i);
  if (again === undefined) return config;
  throw new ConfigError({
    where: 'configuration: averages',
    problem: `two of ${names.length} are called ${again}`,
    fix: 'give each a name of its own',
  });
}

function expectScoredBest<Config extends RunConfig>(config: Config): Config {
  const { keepBest, scores } = config.logging;
  if (keepBest === null || scores.includes(keepBest)) return config;
  throw new ConfigError({
    where: 'configuration: logging.keepBest',
    problem: `${keepBest} is not measured: logging.scores has ${scores.join(', ') || 'none'}`,
    fix: `add --evaluate-with ${[...scores, keepBest].join()}, or leave logging.keepBest out`,
  });
}

function configError(issue: v.BaseIssue<unknown>, config: ConfigLayer, schema: ConfigSchema): ConfigError {
  const path = (issue.path ?? []).map((item) => String(item.key));
  const key = path.join('.');
  if (isUnknownKey(issue)) {
    const kind = kindWithKey(path, schema);
    if (kind !== undefined) {
      const section = path[0]!;
      return new ConfigError({
        where: 'configuration',
        problem: `${key} belongs to ${section}.kind ${kind}, but the kind is ${kindOf(section, config)}`,
        fix: `add --set ${section}.kind=${kind}, or leave ${key} out`,
      });
    }
    return new ConfigError({
      where: 'configuration',
      problem: `unknown key ${key}`,
      fix: `did you mean ${nearestKey(path, config, schema)}?`,
    });
  }
  if (isMissingKey(issue)) {
    return new ConfigError({
      where: 'configuration',
      problem: `there is no ${key}`,
      fix: `add --set ${key}=…`,
    });
  }
  return new ConfigError({
    where: `configuration: ${key}`,
    problem: `${JSON.stringify(issue.input) ?? 'nothing'} is not valid`,
    fix: `use ${expectedValue(issue)}`,
  });
}

/** Which other kind of its section has this key? */
function kindWithKey(path: readonly string[], { entries }: ConfigSchema): string | undefined {
  const schema = entries[path[0] as keyof typeof entries];
  if (schema?.type !== 'variant' || path.length !== 2) return undefined;
  return schema.options.find((option) => path[1]! in option.entries)?.entries.kind.literal;
}

function kindOf(section: string, config: ConfigLayer): unknown {
  return isLayer(config[section]) ? config[section].kind : undefined;
}

/** The most similar key of the same place; a key that only lacks its section is given one. */
function nearestKey(path: readonly string[], config: ConfigLayer, schema: ConfigSchema): string {
  const name = path.at(-1)!;
  const sections = Object.keys(schema.entries);
  if (path.length > 1) {
    const place = path.slice(0, -1);
    return `${place.join('.')}.${closest(name, keysOf(place, config, schema))}`;
  }
  const home = sections.find((section) => keysOf([section], config, schema).includes(name));
  return home === undefined ? closest(name, sections) : `${home}.${name}`;
}

/** Keys of a section, or of an entry of a list in it. */
function keysOf(
  [section, index]: readonly string[],
  config: ConfigLayer,
  { entries }: ConfigSchema,
): string[] {
  const named = entries[section as keyof typeof entries];
  const isList = named.type === 'array';
  const schema = isList ? named.item : named;
  if (schema.type !== 'variant') return Object.keys(schema.entries);
  const value = isList ? (config[section!] as Readonly<Record<string, unknown>>)[index!] : config[section!];
  const kind = isLayer(value) ? value.kind : undefined;
  const option = schema.options.find((candidate) => candidate.entries.kind.literal === kind);
  const earlier = section === 'optimizer' ? EARLIER_OPTIMIZER_KEYS : [];
  return [...Object.keys(option?.entries ?? {}), ...earlier];
}
