/** @file SiT's transport as the reference calls it, in our terms. */
import * as v from 'valibot';
import { type FlowOptions, flowOptions } from '../../src/diffusion/flow/flow.ts';
import type { DiffusionForm } from '../../src/diffusion/flow/sde.ts';
import type { FixedMethodName } from '../../src/diffusion/solvers/runge-kutta.ts';

export const PATHS = { Linear: 'linear', GVP: 'gvp', VP: 'vp' } as const;
export type ReferencePath = keyof typeof PATHS;

export const pathSchema = v.picklist(Object.keys(PATHS) as ReferencePath[]);
export const predictionSchema = v.picklist(['velocity', 'noise', 'score']);

/** The reference's name of one form is misspelt, so that its command line cannot reach it. */
const FORMS: Readonly<Record<string, DiffusionForm>> = {
  SBDM: 'sbdm',
  'inccreasing-decreasing': 'increasing-decreasing',
};

export function formOfReference(name: string): DiffusionForm {
  return FORMS[name] ?? (name as DiffusionForm);
}

export function transportOptions(
  path: ReferencePath,
  prediction: FlowOptions['prediction'],
  further: Partial<FlowOptions> = {},
): FlowOptions {
  return flowOptions({ path: PATHS[path], prediction, ...further });
}

/** Of a solver with given steps. */
export function methodOf(reference: string): FixedMethodName {
  return reference === 'heun2' ? 'heun' : (reference as FixedMethodName);
}
