/** @file Configurations are laid over each other: recipe, file, flags. */

/** A part of a configuration. */
export interface ConfigLayer {
  readonly [key: string]: unknown;
}

/** A layer that sets one dotted key, such as `optimizer.learningRate`. */
export function layerOf(dottedKey: string, value: unknown): ConfigLayer {
  return dottedKey.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as ConfigLayer;
}

/** `above` wins; objects are merged, except that another kind of objective replaces the whole objective. */
export function overlay(below: ConfigLayer, above: ConfigLayer): ConfigLayer {
  const merged: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const existing = merged[key];
    merged[key] =
      isLayer(existing) && isLayer(value) && isSameKind(existing, value) ? overlay(existing, value) : value;
  }
  return merged;
}

function isSameKind(existing: ConfigLayer, value: ConfigLayer): boolean {
  return value.kind === undefined || value.kind === existing.kind;
}

/** An object with keys, as JSON has them. */
export function isLayer(value: unknown): value is ConfigLayer {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
