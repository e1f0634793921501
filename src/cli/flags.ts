/** @file Values of flags. What is not such a value ends the command as a usage error. */
import { InvalidArgumentError } from 'commander';
import { parseCount } from '../core/byte-size.ts';
import { ConfigError } from '../core/errors.ts';
import { type ImageSize, parseImageSize } from '../core/image-size.ts';
import type { Part } from '../tasks/sampling/batch-plan.ts';

/** A parser of whole numbers as {@link parseCount} reads them. */
export function wholeNumber({ from }: { readonly from: number }): (text: string) => number {
  return (text) => {
    const value = parseCount(text);
    if (!(value >= from)) {
      throw new InvalidArgumentError(`A whole number from ${from} is needed, such as ${from + 4} or 8Ki.`);
    }
    return value;
  };
}

/** More than any processor has wait for each other, and more still cannot be started. */
const MOST_THREADS = 256;

/** Parses a number of threads. */
export function threadCount(text: string): number {
  const count = wholeNumber({ from: 1 })(text);
  if (count <= MOST_THREADS) return count;
  throw new InvalidArgumentError(`At most ${MOST_THREADS} threads can be used.`);
}

/** Parses `32` and `48x32`. */
export function imageSize(text: string): ImageSize {
  try {
    return parseImageSize(text);
  } catch (error) {
    if (error instanceof ConfigError)
      throw new InvalidArgumentError('A side or height x width is needed, such as 32 or 48x32.');
    throw error;
  }
}

/** A parser of values separated by commas, each by `parse`. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map((item) => parse(item.trim()));
}

/** A parser of names separated by commas; `all` stands for every one. */
export function listAmong<T extends string>(names: readonly T[]): (text: string) => readonly T[] {
  const named = listOf((text) => {
    const name = names.find((candidate) => candidate === text);
    if (name === undefined) throw new InvalidArgumentError(`Allowed are ${names.join(', ')} and all.`);
    return name;
  });
  return (text) => (text === 'all' ? names : named(text));
}

/** A parser of numbers in a range; both ends belong to it. */
export function numberIn(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!(value >= low && value <= high && Number.isFinite(value))) {
      const range = high === Number.POSITIVE_INFINITY ? `from ${low}` : `from ${low} to ${high}`;
      throw new InvalidArgumentError(`A number ${range} is needed.`);
    }
    return value;
  };
}

/** Parses a part of all, written `1/4`. */
export function partOfAll(text: string): Part {
  const [number, parts] = (/^\d+\/\d+$/.test(text) ? text.split('/') : []).map(Number);
  if (number !== undefined && number >= 1 && number <= parts!) return { number, parts: parts! };
  throw new InvalidArgumentError('A part of all is needed, such as 1/4 for the first of four.');
}

/** Parses a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('A number above 0 is needed, such as 0.001.');
}

/** Parses numbers written `0.1,0.9`. */
export function twoNumbers(text: string): readonly [number, number] {
  const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (numbers.length !== 2 || !numbers.every(Number.isFinite)) {
    throw new InvalidArgumentError('Two numbers are needed, such as 0.1,0.9.');
  }
  return [numbers[0]!, numbers[1]!];
}

/**
 * Does work whose errors of options are told in the words of the command line: `leave --no-clip out` in place of
 * `leave clip out`.
 *
 * @param flagOf - the flag by which each option was given
 */
export async function namingFlags<T>(
  flagOf: ReadonlyMap<string, string>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ConfigError ? inFlags(error, flagOf) : error;
  }
}

function inFlags(error: ConfigError, flagOf: ReadonlyMap<string, string>): ConfigError {
  const { where, problem, facts, fix = '' } = error;
  const [name, flag] = [...flagOf].find(([option]) => fix.startsWith(`leave ${option} out`)) ?? [];
  if (name === undefined || flag === undefined) return error;
  return new ConfigError({
    where: where === `configuration: ${name}` ? flag : where,
    problem: problem.replace(`option ${name} `, `option ${flag} `),
    facts,
    fix: fix.replace(name, flag),
    cause: error,
  });
}
