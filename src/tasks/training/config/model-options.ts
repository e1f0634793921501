/** @file The model section of a configuration: a preset, and the options in which this run differs from it. */
import * as v from 'valibot';
import { AUTOENCODERS, DENOISERS, type Family } from '../../../networks/families.ts';
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

type SchemasOf<F extends Families> = {
  readonly [Name in keyof F]: ReturnType<typeof changesTo<F[Name]['options']>>;
};

function schemasOf<const F extends Families>(families: F): SchemasOf<F> {
  const schemas = Object.entries(families).map(([family, { options }]) => [family, changesTo(options)]);
  return Object.fromEntries(schemas) as SchemasOf<F>;
}

/** By family. */
const DENOISER_SCHEMAS = schemasOf(DENOISERS);
export const AUTOENCODER_SCHEMAS = schemasOf(AUTOENCODERS);

/**
 * The model section of a denoiser of this family.
 *
 * @param further - families of one's own; their options have no types here
 */
export function modelSchemaOf(family: Family, further: Families): (typeof DENOISER_SCHEMAS)[Family] {
  const own = Object.hasOwn(further, family) ? further[family] : undefined;
  return own === undefined ? DENOISER_SCHEMAS[family] : (changesTo(own.options) as never);
}
