/** @file The form of a grid's file. */
import * as v from 'valibot';
import { expectedValue, isUnknownKey } from '../../core/config-issue.ts';
import { ConfigError } from '../../core/errors.ts';
import { suggestion } from '../../core/nearest.ts';
import { count, countOrOff, positive } from '../../core/values.ts';
import { samplingSchema } from '../../diffusion/sampling-schema.ts';

/** Keys of a training configuration, dotted as in `model.width`, with their values. */
const assignments = v.record(v.string(), v.unknown());

const variantSchema = v.strictObject({
  name: v.pipe(v.string(), v.nonEmpty()),
  set: v.optional(assignments, {}),
});

/** What every cell may spend on training; one of them. */
const budgetSchema = v.strictObject({
  steps: v.exactOptional(count),
  /** Of wall time; turned into steps by a measurement before the first cell of a variant. */
  minutes: v.exactOptional(positive),
  /** 10¹² multiply-accumulates, forward and backward. */
  teraMacs: v.exactOptional(positive),
});

const evaluationSchema = v.strictObject({
  /** How often each held-out picture has its turn, at another time with other noise. */
  passes: v.optional(count, 16),
  /** Pictures drawn for the Fréchet distance; null draws none. */
  samples: v.optional(countOrOff, 504),
  /** Of these pictures; what is left open is as it suits the objective, but for guidance. */
  ...samplingSchema.entries,
  cfgScale: v.optional(samplingSchema.entries.cfgScale.wrapped, 1),
});

const gridSchema = v.strictObject({
  description: v.exactOptional(v.string()),
  /** A training configuration, as `udit train --config` takes it: what all cells have in common. */
  base: v.optional(assignments, {}),
  variants: v.optional(v.array(variantSchema), []),
  /** Values of keys: each variant is trained with each combination. */
  axes: v.optional(v.record(v.string(), v.array(v.unknown())), {}),
  seeds: v.optional(v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(0))), [0]),
  budget: budgetSchema,
  evaluation: v.optional(evaluationSchema, {}),
});

export type GridFile = v.InferOutput<typeof gridSchema>;
export type Budget = GridFile['budget'];
export type EvaluationSettings = GridFile['evaluation'];

/**
 * @param where - what the user calls the file
 * @throws ConfigError for the first thing in it that a grid does not have
 */
export function parseGridFile(content: unknown, where: string): GridFile {
  const result = v.safeParse(gridSchema, content);
  if (!result.success) throw gridError(result.issues[0], where);
  const { budget } = result.output;
  const named = Object.entries(budget).map(([name, value]) => `${name} ${value}`);
  if (named.length === 1) return result.output;
  const given = named.length === 0 ? 'none was given' : `given were ${named.join(' and ')}`;
  throw new ConfigError({
    where: `${where}: budget`,
    problem: `exactly one of steps, minutes, teraMacs is needed; ${given}`,
    fix: 'give one, as in {"steps": 1000}',
  });
}

function gridError(issue: v.BaseIssue<unknown>, where: string): ConfigError {
  const path = (issue.path ?? []).map(({ key }) => key);
  const key = path.join('.');
  if (isUnknownKey(issue)) {
    return new ConfigError({
      where,
      problem: `unknown key ${key}`,
      fix: suggestion(String(path.at(-1)), keysBeside(path)),
    });
  }
  return new ConfigError({
    where: key === '' ? where : `${where}: ${key}`,
    problem: isMissing(issue) ? 'it is missing' : `${JSON.stringify(issue.input)} is not valid`,
    fix: isMissing(issue) ? `add it: docs/guides/ablations.md shows a grid` : `use ${expectedValue(issue)}`,
  });
}

function isMissing({ input, type, expected }: v.BaseIssue<unknown>): boolean {
  return input === undefined || (type === 'strict_object' && expected?.startsWith('"') === true);
}

function keysBeside([section]: readonly unknown[]): string[] {
  const schemas: Readonly<Record<string, { readonly entries: object }>> = {
    variants: variantSchema,
    budget: budgetSchema,
    evaluation: evaluationSchema,
  };
  return Object.keys((schemas[String(section)] ?? gridSchema).entries);
}
