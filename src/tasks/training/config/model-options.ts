/** @file The model section of a configuration: a preset, and the options in which this run differs from it. */
import * as v from 'valibot';
import { DENOISERS, type Family } from '../../../networks/families.ts';
import type { Families } from '../../../networks/family.ts';

type ExactOptional<Entries extends v.ObjectEntries> = {
  readonly [K in keyof Entries]: v.ExactOptionalSchema<Entries[K], undefined>;
};

/** What is left out stays the preset's. */
function changesTo<Entries extends v.ObjectEntries>(options: Entries) {
  const optional = Object.entries(options).map(([name, kind]) => [name, v.exactOptional(kind)]);
  return v.strictObject({
    preset: v.string(),
    ...(Object.fromEntries(optional) as ExactOptional<Entries>),
  });
}

/** By family. */
const MODEL_SCHEMAS = Object.fromEntries(
  Object.entries(DENOISERS).map(([family, { options }]) => [family, changesTo(options)]),
) as { readonly [F in Family]: ReturnType<typeof changesTo<(typeof DENOISERS)[F]['options']>> };

/**
 * The model section of this family.
 *
 * @param further - families of one's own; their options have no types here
 */
export function modelSchemaOf(family: Family, further: Families): (typeof MODEL_SCHEMAS)[Family] {
  const own = Object.hasOwn(further, family) ? further[family] : undefined;
  return own === undefined ? MODEL_SCHEMAS[family] : (changesTo(own.options) as never);
}
