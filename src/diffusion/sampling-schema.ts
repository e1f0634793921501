/**
 * @file The settings of sampling, said once: their values, and the words in which flags ask for them. Flags, JSON grids
 * and programs are read by this schema.
 */
import * as v from 'valibot';
import { expectedValue } from '../core/config-issue.ts';
import { ConfigError } from '../core/errors.ts';
import { expectKnown, type OptionTable } from '../core/options.ts';
import { count } from '../core/values.ts';
import { DIFFUSION_FORMS, type DiffusionForm, LAST_STEPS } from './flow/sde.ts';
import { SAMPLERS, type SamplerName } from './samplers.ts';
import type { SamplingOptions } from './sampling-plan.ts';

/**
 * Guidance in a part of the steps only (Kynkäänniemi et al. 2024): where images are nearly noise it narrows what they may
 * become, and where they are nearly finished it changes nothing any more. The steps that begin at a time from `lo` to `hi` are guided, both ends included. Times are the objective's own: 0
 * (noise) … 1 (data) for flows, 999 (noise) … 0 (data) for Gaussian diffusion of 1000 steps.
 */
export type GuidanceInterval = readonly [lo: number, hi: number];

/** Where drawing begins is no setting, but belongs to the image that it begins with. */
export interface SamplingSettings extends Omit<SamplingOptions, 'strength'> {
  readonly sampler: SamplerName;
  /** Strength of classifier-free guidance; 1 is none and halves the work, 0 ignores the class. */
  readonly cfgScale: number;
  /** How many channels are guided; see `guided`. */
  readonly cfgChannels: 3 | 'all';
  /** Which steps are guided; without it all are. */
  readonly cfgInterval?: GuidanceInterval;
}

/** How users ask for a setting on a command line. */
export interface SettingFlag {
  /** As in `--cfg-scale <s>`. */
  readonly flag: string;
  readonly about: string;
  /** What the flag that begins with `--no-` does, of a setting that is true or false. */
  readonly aboutNo?: string;
}

const setting = <S extends v.GenericSchema>(schema: S, words: SettingFlag) =>
  v.exactOptional(v.pipe(schema, v.metadata({ ...words })));

const from = (low: number) => v.pipe(v.number(), v.finite(), v.minValue(low));
const between = (low: number, high: number) => v.pipe(v.number(), v.minValue(low), v.maxValue(high));
const oneOf = <T extends string>(names: readonly T[]) => v.picklist(names);

const SETTINGS = {
  cfgScale: setting(from(0), {
    flag: '--cfg-scale <s>',
    about: 'strength of guidance: 1 is none; higher follows the class more closely',
  }),
  cfgChannels: setting(v.picklist([3, 'all']), {
    flag: '--cfg-channels <n>',
    about: 'channels that are guided',
  }),
  cfgInterval: setting(v.tuple([v.number(), v.number()]), {
    flag: '--cfg-interval <lo,hi>',
    about: 'guide only steps at these times: 0 noise … 1 image for flows, 999 noise … 0 image for others',
  }),
  steps: setting(v.union([count, v.string()]), {
    flag: '--steps, --num-sampling-steps <n>',
    about: 'steps from noise to image; for Gaussian diffusion also as in ddim50',
  }),
  sampler: setting(oneOf(Object.keys(SAMPLERS) as SamplerName[]), {
    flag: '--sampler <name>',
    about: 'euler … sde-heun: flows; ddpm, ddim: Gaussian diffusion; dpm++: both',
  }),
  shift: setting(between(0.01, 100), {
    flag: '--shift <s>',
    about: 'flows: above 1 spends more of the steps near the noise',
  }),
  eta: setting(between(0, 1), {
    flag: '--eta <x>',
    about: 'ddim, dpm++2m-sde: share of new noise in each step',
  }),
  rtol: setting(between(1e-12, 1), {
    flag: '--rtol <x>',
    about: 'dopri5: relative tolerance of a step',
  }),
  atol: setting(between(1e-12, 1), { flag: '--atol <x>', about: 'dopri5: absolute tolerance of a step' }),
  diffusionForm: setting(oneOf(Object.keys(DIFFUSION_FORMS) as DiffusionForm[]), {
    flag: '--diffusion-form <name>',
    about: 'sde: diffusion coefficient over time',
  }),
  diffusionNorm: setting(from(0), {
    flag: '--diffusion-norm <x>',
    about: 'sde: factor of the diffusion coefficient; 0 is the ODE',
  }),
  lastStep: setting(oneOf(LAST_STEPS), {
    flag: '--last-step <name>',
    about: 'sde: form of the last step, which adds no noise',
  }),
  lastStepSize: setting(between(0.0001, 0.9), {
    flag: '--last-step-size <t>',
    about: 'sde: length of the last step in time',
  }),
  clip: setting(v.boolean(), {
    flag: '--clip',
    about: 'Gaussian diffusion: clip predicted images to their range',
    aboutNo: 'Gaussian diffusion: do not clip predicted images',
  }),
} satisfies Record<keyof SamplingSettings, v.GenericSchema>;

export type SettingName = keyof typeof SETTINGS;
export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** For functions that take them among their options. */
export const SETTING_OPTIONS = Object.fromEntries(
  SETTING_NAMES.map((name) => [name, 'optional']),
) as OptionTable<SamplingSettings>;

/** All settings are optional: what is left open is chosen by `chooseSettings`. */
export const samplingSchema = v.strictObject(SETTINGS);

/** What a flag takes. */
export type SettingValue =
  | { readonly kind: 'number'; readonly low: number; readonly high: number }
  | { readonly kind: 'choice'; readonly choices: readonly (string | number)[] }
  | { readonly kind: 'range' }
  | { readonly kind: 'switch' }
  /** A number, or text. */
  | { readonly kind: 'numberOrText' };

/** A setting as a command line or a form asks for it. */
export function settingFlag(name: SettingName): SettingFlag & { readonly value: SettingValue } {
  const schema = SETTINGS[name].wrapped as v.GenericSchema;
  return { ...(v.getMetadata(schema) as unknown as SettingFlag), value: takenBy(schema) };
}

function takenBy(schema: v.GenericSchema): SettingValue {
  const parts = partsOf(schema);
  const [first] = parts;
  const bound = (type: string, otherwise: number) =>
    Number(parts.find((part) => part.type === type)?.requirement ?? otherwise);
  switch (first!.type) {
    case 'number':
      return {
        kind: 'number',
        low: bound('min_value', Number.NEGATIVE_INFINITY),
        high: bound('max_value', Number.POSITIVE_INFINITY),
      };
    case 'picklist':
      return { kind: 'choice', choices: first!.options! };
    case 'tuple':
      return { kind: 'range' };
    case 'boolean':
      return { kind: 'switch' };
    default:
      return { kind: 'numberOrText' };
  }
}

interface SchemaPart {
  readonly type: string;
  readonly pipe?: readonly SchemaPart[];
  readonly options?: readonly (string | number)[];
  readonly requirement?: unknown;
}

/** A schema and the actions on it, however deep the pipes. */
function partsOf(schema: v.GenericSchema): SchemaPart[] {
  const flatten = (part: SchemaPart): SchemaPart[] => part.pipe?.flatMap(flatten) ?? [part];
  return flatten(schema as unknown as SchemaPart);
}

/**
 * @param settings - without those that are undefined
 * @throws ConfigError for the first value that a setting cannot have
 */
export function expectSettings(settings: object): void {
  expectKnown(settings, 'sampling', SETTING_NAMES);
  const result = v.safeParse(samplingSchema, settings);
  if (result.success) return;
  const [issue] = result.issues;
  const name = String(issue.path?.[0]?.key);
  throw new ConfigError({
    where: 'sampling',
    problem: `${name} is ${shown(issue.input)}`,
    fix: `use ${expectedValue(issue)}`,
  });
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
}
