/** @file Where on the way from data to noise drawing begins. */
import { ConfigError } from '../core/errors.ts';

/** @throws ConfigError if a strength is none */
export function expectStrength(strength: number): void {
  if (strength > 0 && strength <= 1) return;
  throw new ConfigError({
    where: 'strength',
    problem: `it is ${strength}: it must be above 0 and at most 1`,
    fix: 'use 0.6; 1 begins at noise',
  });
}

/** The error where no step of a plan begins so near to the data; `last` is the strength at which the last one does. */
export function beginsTooLate(strength: number, steps: number, last: number): ConfigError {
  return new ConfigError({
    where: 'strength',
    problem: `no step begins at ${strength} of the way to noise: the last of ${steps} begins at ${Math.ceil(last * 1000) / 1000}`,
    fix: 'raise the strength, or take more steps',
  });
}
