/** @file Configurations are laid over each other: recipe, file, flags. */
import { ConfigError } from '../../../core/errors.ts';
import { SHARED_DATA_OPTIONS } from '../../../data/datasets/data-config.ts';

/** A part of a configuration. */
export interface ConfigLayer {
  readonly [key: string]: unknown;
}

/** A layer that sets one dotted key, such as `optimizer.learningRate`. */
export function layerOf(dottedKey: string, value: unknown): ConfigLayer {
  return dottedKey.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as ConfigLayer;
}

/** Options of a section that a change of its kind leaves as they are. */
const OF_EVERY_KIND: Readonly<Record<string, readonly string[]>> = { data: SHARED_DATA_OPTIONS };

/** `above` wins; objects are merged, except that another kind of a section replaces what is not the same for every kind. */
export function overlay(below: ConfigLayer, above: ConfigLayer): ConfigLayer {
  const merged: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (key in Object.prototype) throw unknownKey(key);
    const existing = merged[key];
    if (!isLayer(existing) || !isLayer(value)) merged[key] = value;
    else merged[key] = overlay(isOtherKind(existing, value) ? kept(existing, key) : existing, value);
  }
  return merged;
}

/** What every object has is found in any schema. */
function unknownKey(key: string): ConfigError {
  return new ConfigError({
    where: 'configuration',
    problem: `there is no option ${key}`,
    fix: 'leave it out',
  });
}

function isOtherKind(existing: ConfigLayer, value: ConfigLayer): boolean {
  return existing.kind !== undefined && value.kind !== undefined && value.kind !== existing.kind;
}

function kept(existing: ConfigLayer, section: string): ConfigLayer {
  const names = OF_EVERY_KIND[section] ?? [];
  return Object.fromEntries(Object.entries(existing).filter(([name]) => names.includes(name)));
}

/** An object with keys, as JSON has them. */
export function isLayer(value: unknown): value is ConfigLayer {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
