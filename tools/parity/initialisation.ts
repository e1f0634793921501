/** @file Statistics of freshly initialised parameters, by the distribution that the reference draws them from. */
import * as v from 'valibot';
import { squareOf } from '../../src/core/image-size.ts';
import { fold, randomKey } from '../../src/core/random.ts';
import { ditInitRule } from '../../src/networks/denoisers/dit.ts';
import { uditInitRule } from '../../src/networks/denoisers/udit.ts';
import type { InitRule } from '../../src/networks/nn/initialise.ts';
import { createModel } from '../../src/networks/registry.ts';
import { type Comparison, compareExactly, compareNumbers } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { presetOfReference } from './reference-config.ts';

const statisticsSchema = v.object({ mean: v.number(), std: v.number(), min: v.number(), max: v.number() });
const expectedSchema = v.union([
  v.object({ const: v.number() }),
  v.object({ mean: v.number(), std: v.number(), bound: v.optional(v.number()) }),
]);
const parameterSchema = v.object({
  name: v.string(),
  shape: v.array(v.number()),
  expected: v.nullable(expectedSchema),
  measured: statisticsSchema,
  requires_grad: v.optional(v.boolean(), true),
});
const schema = v.object({ model: v.string(), params: v.array(parameterSchema) });
type RecordedParameter = v.InferOutput<typeof parameterSchema>;

export const initialisation: FixtureKind = {
  name: 'initialisation',
  recognise({ json }) {
    const parsed = v.safeParse(schema, json);
    const rule = parsed.success ? ruleFor(parsed.output.params) : undefined;
    if (!parsed.success || rule === undefined) return undefined;
    const { model, params } = parsed.output;
    return async () => ({
      comparisons: [
        ...compareKeys(model, params),
        ...params.flatMap((parameter) => compareStatistics(parameter, rule)),
      ],
    });
  },
};

/** The family shows in the names of its parameters. */
function ruleFor(parameters: readonly RecordedParameter[]): InitRule | undefined {
  if (parameters.some(({ name }) => name.startsWith('encoder_level_1.'))) return uditInitRule;
  const positions = parameters.find(({ name }) => name === 'pos_embed');
  return positions && ditInitRule(squareOf(Math.sqrt(positions.shape[1]!)));
}

/** A published model must have exactly these parameters, in this order. */
function compareKeys(model: string, recorded: readonly RecordedParameter[]): Comparison[] {
  const preset = presetOfReference(model);
  if (preset === undefined) return [];
  const describe = (name: string, shape: readonly number[], trained: boolean) =>
    `${name} [${shape}]${trained ? '' : ' frozen'}`;
  const ours = [...createModel(preset).parameters()];
  return [
    compareExactly(
      'names, shapes and order',
      ours.map(({ name, shape, frozen }) => describe(name, shape, !frozen)),
      recorded.map(({ name, shape, requires_grad }) => describe(name, shape, requires_grad)),
    ),
  ];
}

interface Statistics {
  readonly mean: number;
  readonly std: number;
  readonly min: number;
  readonly max: number;
}

function statisticsOf(values: Float32Array): Statistics {
  let [sum, min, max] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, std: Math.sqrt(squares / values.length), min, max };
}

/** Drawn values have means within 6 standard errors and deviations within 6 / √(2n) + 0.2 %. */
const STANDARD_ERRORS = 6;
const DEVIATION_SLACK = 0.002;

function compareStatistics(
  { name, shape, expected, measured }: RecordedParameter,
  rule: InitRule,
): Comparison[] {
  const values = rule(name, shape)(shape, fold(randomKey(0), name));
  const ours = statisticsOf(values);
  if (expected === null) {
    const numbers = ({ mean, std, min, max }: Statistics) => [mean, std, min, max];
    return [compareNumbers(`${name} statistics`, numbers(ours), numbers(measured), { absolute: 1e-6 })];
  }
  if ('const' in expected) {
    const value = Math.fround(expected.const);
    return [compareNumbers(`${name} value`, [ours.min, ours.max], [value, value], { absolute: 0 })];
  }
  const n = values.length;
  const allowedMean = (STANDARD_ERRORS * expected.std) / Math.sqrt(n);
  const allowedStd = STANDARD_ERRORS / Math.sqrt(2 * n) + DEVIATION_SLACK;
  const comparisons = [
    compareNumbers(`${name} mean`, [ours.mean], [expected.mean], { absolute: allowedMean }),
    compareNumbers(`${name} std`, [ours.std], [expected.std], { relative: allowedStd }),
  ];
  if (expected.bound !== undefined) {
    const bound = Math.fround(expected.bound);
    const beyond = Math.max(0, ours.max - bound, -bound - ours.min);
    comparisons.push(compareNumbers(`${name} beyond its bound`, [beyond], [0], { absolute: 0 }));
  }
  return comparisons;
}
