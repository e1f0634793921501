/** @file Noise schedules and respacing: the float64 tables of Gaussian diffusion. */
import * as v from 'valibot';
import { UditError } from '../../src/core/errors.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian/gaussian.ts';
import { spacedSteps } from '../../src/diffusion/gaussian/respacing.ts';
import { noiseSchedule, type ScheduleName } from '../../src/diffusion/gaussian/schedule.ts';
import type { GaussianTables } from '../../src/diffusion/gaussian/tables.ts';
import { type Comparison, compareExactly, compareNumbers, misfit } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { README_TOLERANCES, StatedTolerance } from './tolerance.ts';

/** The reference's names of the tables. */
const TABLE_NAMES: Readonly<Record<string, keyof GaussianTables>> = {
  betas: 'betas',
  alphas_cumprod: 'alphaBars',
  alphas_cumprod_prev: 'previousAlphaBars',
  alphas_cumprod_next: 'nextAlphaBars',
  sqrt_alphas_cumprod: 'sqrtAlphaBars',
  sqrt_one_minus_alphas_cumprod: 'sqrtOneMinusAlphaBars',
  log_one_minus_alphas_cumprod: 'logOneMinusAlphaBars',
  sqrt_recip_alphas_cumprod: 'sqrtReciprocalAlphaBars',
  sqrt_recipm1_alphas_cumprod: 'sqrtReciprocalMinusOneAlphaBars',
  posterior_variance: 'posteriorVariances',
  posterior_log_variance_clipped: 'posteriorLogVariances',
  posterior_mean_coef1: 'posteriorX0Weights',
  posterior_mean_coef2: 'posteriorXtWeights',
};

const series = v.array(v.number());
const tablesSchema = v.looseObject({ betas: series, alphas_cumprod: series });

function compareTables(
  prefix: string,
  tables: GaussianTables,
  recorded: Readonly<Record<string, unknown>>,
  stated: StatedTolerance,
): Comparison[] {
  return Object.entries(TABLE_NAMES)
    .filter(([name]) => name in recorded)
    .map(([name, ours]) => {
      // Tables without a clause of their own are as exact as the betas that they are made from.
      const tolerance = stated.of(...(name.startsWith('log_one_minus') ? ['log_one_minus'] : []), 'betas');
      return compareNumbers(prefix + name, tables[ours], v.parse(series, recorded[name]), tolerance);
    });
}

const scheduleSchema = v.intersect([
  tablesSchema,
  v.object({ tolerance: v.optional(v.string(), README_TOLERANCES.schedule) }),
]);

export const schedule: FixtureKind = {
  name: 'schedule',
  recognise({ json }) {
    const parsed = v.safeParse(scheduleSchema, json);
    if (!parsed.success) return undefined;
    const { betas, tolerance } = parsed.output;
    return async () => {
      // Through the respacing to all steps, as the reference does it: that moves the last digits of the betas.
      const { tables } = gaussianDiffusion({ schedule: nearestSchedule(betas), steps: betas.length });
      return { comparisons: compareTables('', tables, parsed.output, new StatedTolerance(tolerance)) };
    };
  },
};

/** Fixtures say only in prose which schedule they record. */
function nearestSchedule(betas: readonly number[]): ScheduleName {
  const distance = (name: ScheduleName): number =>
    noiseSchedule(name, betas.length).reduce((sum, beta, i) => sum + Math.abs(beta - betas[i]!), 0);
  return distance('linear') < distance('cosine') ? 'linear' : 'cosine';
}

const respacingSchema = v.looseObject({
  cases: v.record(v.string(), v.looseObject({ timestep_map: series, betas: series })),
  errors: v.optional(v.record(v.string(), v.string()), {}),
  tolerance: v.optional(v.string(), README_TOLERANCES.respacing),
});

/** Steps of the diffusion that cases without another number are of. */
const TRAINED_STEPS = 1000;

export const respacing: FixtureKind = {
  name: 'respacing',
  recognise({ json }) {
    const parsed = v.safeParse(respacingSchema, json);
    if (!parsed.success) return undefined;
    const { cases, errors, tolerance } = parsed.output;
    const stated = new StatedTolerance(tolerance);
    return async () => ({
      comparisons: [
        ...Object.entries(cases).flatMap(([text, recorded]) => {
          const { networkSteps, tables } = gaussianDiffusion({ respacing: text, steps: TRAINED_STEPS });
          return [
            compareExactly(`${text} timestep_map`, networkSteps, recorded.timestep_map),
            ...compareTables(`${text} `, tables, recorded, stated),
          ];
        }),
        ...Object.keys(errors).map(compareRefusal),
        ...Object.entries(parsed.output).flatMap(([name, kept]) => compareSpacing(name, kept)),
      ],
    });
  },
};

/** The reference cannot respace so; neither may we. */
function compareRefusal(text: string): Comparison {
  const quantity = `${text} is refused`;
  try {
    spacedSteps(TRAINED_STEPS, text);
  } catch (error) {
    if (error instanceof UditError) return compareExactly(quantity, true, true);
    throw error;
  }
  return misfit(quantity, 'steps were given', 'exact');
}

/** `space_timesteps_300_10_15_20`: kept steps of a diffusion of another length. */
function compareSpacing(name: string, kept: unknown): Comparison[] {
  const [, total, counts] = /^space_timesteps_(\d+)_([\d_]+)$/.exec(name) ?? [];
  if (total === undefined || counts === undefined) return [];
  return [compareExactly(name, spacedSteps(Number(total), counts.replaceAll('_', ',')), kept)];
}
