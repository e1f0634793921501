/** @file The model section of a configuration: a preset, and the options in which this run differs from it. */
import * as v from 'valibot';
import { MODEL_OPTIONS } from '../../../networks/options.ts';
import type { Family } from '../../../networks/registry.ts';

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
export const MODEL_SCHEMAS = {
  'U-DiT': changesTo(MODEL_OPTIONS['U-DiT']),
  DiT: changesTo(MODEL_OPTIONS.DiT),
  'DiT-LLaMA': changesTo(MODEL_OPTIONS['DiT-LLaMA']),
} satisfies Record<Family, unknown>;
