/** @file The configuration of a training run: its schema, its defaults, and how files and flags are laid over them. */
import { closest } from 'fastest-levenshtein';
import * as v from 'valibot';
import { ConfigError } from '../core/errors.ts';
import { type ConfigLayer, overlay } from './config-layer.ts';
import { recipeFor } from './recipes.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const countOrOff = v.nullable(count);
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const positive = v.pipe(v.number(), v.gtValue(0));

const dataSchema = v.strictObject({
  /** `emoji`, or a folder of class folders. */
  path: v.string(),
  imageSize: count,
  augment: v.picklist(['none', 'flip', 'emoji']),
  /** Share of the pictures that training never sees. */
  heldOutFraction: v.pipe(v.number(), v.minValue(0), v.ltValue(1)),
  /** An unreadable image is an error. */
  strict: v.boolean(),
});

const objectiveSchema = v.variant('kind', [
  v.strictObject({
    kind: v.literal('gaussian'),
    steps: v.exactOptional(count),
    schedule: v.exactOptional(v.picklist(['linear', 'cosine'])),
    respacing: v.exactOptional(v.string()),
    prediction: v.exactOptional(v.picklist(['epsilon', 'x0'])),
    variance: v.exactOptional(v.picklist(['learned-range', 'fixed-small', 'fixed-large'])),
    loss: v.exactOptional(v.picklist(['mse', 'rescaled-mse', 'kl', 'rescaled-kl'])),
  }),
  v.strictObject({
    kind: v.literal('flow'),
    path: v.exactOptional(v.picklist(['linear'])),
    timeDistribution: v.exactOptional(v.picklist(['uniform', 'logit-normal'])),
    logitMean: v.exactOptional(v.number()),
    logitStd: v.exactOptional(positive),
    timeScale: v.exactOptional(positive),
  }),
]);

const optimizerSchema = v.strictObject({
  learningRate: positive,
  schedule: v.picklist(['constant', 'cosine']),
  warmupSteps: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  weightDecay: v.pipe(v.number(), v.minValue(0)),
  beta1: fraction,
  beta2: fraction,
  eps: positive,
  /** Largest L2 norm of the gradient; null does not clip. */
  clipNorm: v.nullable(positive),
  emaDecay: fraction,
  /** Lets the average follow quickly at first. */
  emaWarmup: v.boolean(),
});

const trainingSchema = v.strictObject({
  /** Optimizer updates in all; a cosine schedule ends there. */
  steps: count,
  batchSize: count,
  seed: v.pipe(v.number(), v.safeInteger()),
});

const loggingSchema = v.strictObject({
  logEvery: count,
  /** Steps between sample grids; null draws none. */
  sampleEvery: countOrOff,
  /** Steps between held-out losses; null measures none. */
  evaluateEvery: countOrOff,
  ckptEvery: count,
  /** This many latest checkpoints are kept … */
  keepLast: count,
  /** … and every one whose step is a multiple of this; null keeps no others. */
  keepEvery: countOrOff,
});

/** Options of the model that differ from its preset; checked by the preset itself. */
const modelSchema = v.objectWithRest({ preset: v.string() }, v.unknown());

const configSchema = v.strictObject({
  model: modelSchema,
  data: dataSchema,
  objective: objectiveSchema,
  optimizer: optimizerSchema,
  training: trainingSchema,
  logging: loggingSchema,
});

export type TrainConfig = v.InferOutput<typeof configSchema>;
export type OptimizerConfig = TrainConfig['optimizer'];

/**
 * Lays `layers` (first a file, then flags) over the recipe of the model they name.
 *
 * @throws ConfigError for an unknown key, naming the nearest, and for a value of the wrong kind
 */
export function resolveTrainConfig(layers: readonly ConfigLayer[], defaultPreset = 'U-DiT-XS'): TrainConfig {
  const given = layers.reduce<ConfigLayer>(overlay, {});
  const preset = (given.model as ConfigLayer | undefined)?.preset ?? defaultPreset;
  const merged = overlay(recipeFor(String(preset), given), given);
  const result = v.safeParse(configSchema, merged);
  if (result.success) return result.output;
  throw configError(result.issues[0], merged);
}

function configError(issue: v.BaseIssue<unknown>, config: ConfigLayer): ConfigError {
  const path = (issue.path ?? []).map((item) => String(item.key));
  const key = path.join('.');
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    const unknown = path.at(-1)!;
    const known = knownKeys(path.slice(0, -1), config);
    return new ConfigError({
      where: 'configuration',
      problem: `unknown key ${key}`,
      fix: `did you mean ${[...path.slice(0, -1), closest(unknown, known)].join('.')}?`,
    });
  }
  return new ConfigError({
    where: `configuration: ${key}`,
    problem: `${JSON.stringify(issue.input) ?? 'nothing'} is not valid`,
    fix: `use ${describe(issue)}`,
  });
}

function describe({ expected, requirement, type }: v.BaseIssue<unknown>): string {
  if (type === 'min_value') return `${requirement} or more`;
  if (type === 'max_value') return `${requirement} or less`;
  if (type === 'gt_value') return `a number above ${requirement}`;
  if (type === 'lt_value') return `a number below ${requirement}`;
  if (type === 'safe_integer') return 'a whole number';
  return (expected ?? 'another value')
    .replaceAll('"', '')
    .replaceAll('|', 'or')
    .replace(/^\((.*)\)$/, '$1');
}

function knownKeys(path: readonly string[], config: ConfigLayer): string[] {
  if (path.length === 0) return Object.keys(configSchema.entries);
  const section = configSchema.entries[path[0] as keyof typeof configSchema.entries];
  if (section.type === 'variant') {
    const kind = (config.objective as ConfigLayer | undefined)?.kind;
    const option = section.options.find((candidate) => candidate.entries.kind.literal === kind);
    return Object.keys(option?.entries ?? {});
  }
  return Object.keys(section.entries);
}
