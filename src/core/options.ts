/** @file Options of public functions. A name that is no option is an error, as it is on the command line. */
import { ConfigError } from './errors.ts';
import { suggestion } from './nearest.ts';

/** All options by their names; those that are needed have no default. */
export type OptionTable<T> = { readonly [K in keyof T]-?: 'needed' | 'optional' };

/**
 * @param where - the function, as its user calls it
 * @throws ConfigError if there are no options, one that is needed is missing, or one is unknown
 */
export function expectOptions<T extends object>(options: T, where: string, table: OptionTable<T>): void {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null) {
    throw new ConfigError({
      where,
      problem: `its options are ${String(given)}`,
      fix: `give an object with ${neededNames(table).join(', ') || 'options'}`,
    });
  }
  expectKnown(options, where, Object.keys(table));
  const missing = neededNames(table).find((name) => Reflect.get(options, name) === undefined);
  if (missing === undefined) return;
  throw new ConfigError({ where, problem: `the option ${missing} is missing`, fix: `give ${missing}` });
}

/** Of the options of several functions, those of one. */
export function chosen<T extends object>(options: T, table: OptionTable<T>): T {
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(table, name))) as T;
}

function neededNames(table: Readonly<Record<string, string>>): string[] {
  return Object.keys(table).filter((name) => table[name] === 'needed');
}

/** @throws ConfigError naming the nearest for a key that is not there */
export function expectKnown(options: object, where: string, known: readonly string[]): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new ConfigError({
    where,
    problem: `there is no option ${unknown}`,
    fix: suggestion(unknown, known),
  });
}
