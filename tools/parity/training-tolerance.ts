/** @file How close a run of training must stay: Adam turns gradients at the level of rounding into whole steps. */
import { type TensorMap, toNumbers } from '../../src/core/host-tensor.ts';
import { gradientNorm } from '../../src/tasks/training/optim/clipping.ts';
import { type Comparison, compareNumbers, misfit } from './comparison.ts';

export interface TrainingTolerance {
  /** Relative tolerance of the loss of update number `step` of `steps`. */
  lossAt(step: number, steps: number): number;
  /** Relative L2 error of each gradient … */
  readonly gradientRelL2: number;
  /** … whose norm is above this; others are rounding noise. */
  readonly negligibleNorm: number;
  /** Absolute error of most parameters, how many those are, and of all. */
  readonly usualDifference: number;
  readonly usualPercent: number;
  readonly largestDifference: number;
}

const NUMBER = String.raw`(\d+(?:\.\d+)?(?:e[-+]?\d+)?)`;

/** Reads a text such as the one in `README_TOLERANCES`; what it does not state is as stated there. */
export function parseTrainingTolerance(text: string): TrainingTolerance {
  const find = (pattern: string, fallback: number): number =>
    Number(new RegExp(pattern).exec(text)?.[1] ?? fallback);
  const first = find(`losses rel ${NUMBER}`, 1e-5);
  const last = find(`losses rel [^;]*? to ${NUMBER}`, first);
  return {
    lossAt: (step, steps) => (steps === 1 ? first : first * (last / first) ** ((step - 1) / (steps - 1))),
    gradientRelL2: find(`gradients rel L2 ${NUMBER}`, 1e-4),
    negligibleNorm: find(`norm > ${NUMBER}`, 1e-6),
    usualDifference: find(`<= ${NUMBER} for [\\d.]+ ?%`, 1e-5),
    usualPercent: find(`for ${NUMBER} ?%`, 99.9),
    largestDifference: find(`and <= ${NUMBER}[^;]*for all`, 1e-3),
  };
}

/**
 * Gradients or moments by parameter.
 *
 * @param scales - tensors whose norm decides what is rounding noise; those compared, if absent
 */
export function compareGradients(
  quantity: string,
  actual: TensorMap,
  expected: TensorMap,
  { gradientRelL2, negligibleNorm }: TrainingTolerance,
  scales: TensorMap = expected,
): Comparison[] {
  const names = [...actual.keys()].filter((name) => {
    const scale = scales.get(name);
    return scale === undefined || gradientNorm(scale.data as Float32Array) > negligibleNorm;
  });
  return names.map((name) => {
    const recorded = expected.get(name);
    if (recorded === undefined) return misfit(`${quantity} ${name}`, 'none was recorded', '');
    const values = toNumbers(actual.get(name)!);
    return compareNumbers(`${quantity} ${name}`, values, toNumbers(recorded), { relL2: gradientRelL2 });
  });
}

/** All parameters (or averages of them) together: most within the usual difference, all within the largest. */
export function compareParameters(
  quantity: string,
  actual: TensorMap,
  expected: TensorMap,
  { usualDifference, usualPercent, largestDifference }: TrainingTolerance,
): Comparison {
  const tolerance = `abs ${usualDifference.toExponential()} for ${usualPercent} %, abs ${largestDifference.toExponential()} for all`;
  const values: number[] = [];
  const recorded: number[] = [];
  for (const [name, tensor] of actual) {
    const other = expected.get(name);
    if (other === undefined) return misfit(quantity, `${name} was not recorded`, tolerance);
    for (const value of toNumbers(tensor) as Float32Array) values.push(value);
    for (const value of toNumbers(other) as Float32Array) recorded.push(value);
  }
  const all = compareNumbers(quantity, values, recorded, { absolute: largestDifference });
  const unusual = values.filter((value, i) => !(Math.abs(value - recorded[i]!) <= usualDifference)).length;
  const allowedUnusual = ((100 - usualPercent) / 100) * values.length;
  return { ...all, tolerance, excess: Math.max(all.excess, unusual / allowedUnusual) };
}
