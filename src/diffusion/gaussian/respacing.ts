/** @file Respacing: running a diffusion of many steps in fewer (Nichol & Dhariwal 2021, section 4). */
import { ConfigError } from '../../core/errors.ts';
import { roundHalfToEven } from '../../core/rounding.ts';
import { cumulativeAlphas } from './schedule.ts';

const WHERE = 'respacing';

/**
 * The steps that are kept, in increasing order.
 *
 * - `'250'`: that many, evenly from the first to the last.
 * - `'10,15,20'`: the range is cut into equal sections, and so many are kept in each.
 * - `'ddim50'`: that many by a constant integer stride from 0, as the DDIM paper does; the last step may be left out.
 * - `''`: all.
 *
 * @param total - number of steps of the diffusion as it was trained
 * @throws ConfigError if the counts do not fit
 */
export function spacedSteps(total: number, respacing: string): number[] {
  if (respacing === '') return Array.from({ length: total }, (_, i) => i);
  if (respacing.startsWith('ddim')) {
    return stridedSteps(total, parseCount(respacing.slice('ddim'.length), respacing));
  }
  return sectionedSteps(
    total,
    respacing.split(',').map((count) => parseCount(count, respacing)),
  );
}

function parseCount(text: string, respacing: string): number {
  if (/^\s*\d+\s*$/.test(text)) return Number(text);
  throw new ConfigError({
    where: WHERE,
    problem: `"${respacing}" has "${text}" where a number of steps is needed`,
    fix: 'write "250", "10,15,20" or "ddim50"',
  });
}

function stridedSteps(total: number, wanted: number): number[] {
  const countAt = (stride: number): number => Math.ceil(total / stride);
  // Counts fall as the stride grows, so the first one at or below `wanted` decides.
  let stride = 1;
  while (stride < total && countAt(stride) > wanted) stride++;
  if (countAt(stride) !== wanted) {
    const nearest = stride > 1 ? `ddim${countAt(stride)} or ddim${countAt(stride - 1)}` : `ddim${total}`;
    throw new ConfigError({
      where: WHERE,
      problem: `cannot create exactly ${wanted} of ${total} steps with an integer stride`,
      fix: `use ${nearest}`,
    });
  }
  return Array.from({ length: wanted }, (_, i) => i * stride);
}

function sectionedSteps(total: number, counts: readonly number[]): number[] {
  const kept: number[] = [];
  let start = 0;
  counts.forEach((count, section) => {
    const size = Math.floor(total / counts.length) + (section < total % counts.length ? 1 : 0);
    if (size < count) {
      throw new ConfigError({
        where: WHERE,
        problem: `cannot divide section of ${size} steps into ${count}`,
        fix: `ask for at most ${size} steps`,
      });
    }
    const stride = count <= 1 ? 1 : (size - 1) / (count - 1);
    // The reference adds strides up; the rounding of the running sum decides ties.
    let position = 0;
    for (let i = 0; i < count; i++) {
      // `Math.round` would move steps of some counts, such as 7.
      kept.push(start + roundHalfToEven(position));
      position += stride;
    }
    start += size;
  });
  if (kept.length === 0) {
    throw new ConfigError({ where: WHERE, problem: 'no step is kept', fix: 'ask for at least 1 step' });
  }
  return kept;
}

/** The β of the shorter process, so that ᾱ at every kept step stays what it was. */
export function respacedBetas(betas: Float64Array, kept: readonly number[]): Float64Array {
  const alphaBars = cumulativeAlphas(betas);
  let previous = 1;
  return Float64Array.from(kept, (step) => {
    const beta = 1 - alphaBars[step]! / previous;
    previous = alphaBars[step]!;
    return beta;
  });
}
