/** @file Which model a checkpoint belongs to, from the names and shapes of its tensors alone. */
import type { Shape } from '../core/shape.ts';
import type { Denoiser } from './denoisers/denoiser.ts';
import { FAMILIES, type Family, type ModelSpec } from './families.ts';
import type { NetworkFamily, Recognised } from './family.ts';
import { PRESETS } from './presets.ts';

export interface RecognisedModel {
  /** The preset with these sizes, or else the family. */
  readonly name: string;
  readonly spec: ModelSpec;
  /** Options that no tensor shows, as they are taken to be. */
  readonly assumed: Readonly<Record<string, unknown>>;
}

export function recogniseModel(
  tensors: ReadonlyMap<string, { readonly shape: Shape }>,
): RecognisedModel | undefined {
  const names = [...tensors.keys()];
  for (const family of Object.keys(FAMILIES) as Family[]) {
    const { recognise } = FAMILIES[family] as NetworkFamily<Denoiser>;
    const recognised = recognise?.((name) => tensors.get(name)?.shape, names) as
      | Recognised<ModelSpec['config']>
      | undefined;
    if (recognised !== undefined) return complete(family, recognised);
  }
  return undefined;
}

function complete(family: Family, recognised: Recognised<ModelSpec['config']>): RecognisedModel {
  const { data, shown, usual, assumedData } = recognised;
  const preset = Object.entries(PRESETS).find(
    ([, spec]) => spec.family === family && agrees(spec.config, shown),
  );
  const config = { ...(preset?.[1].config ?? usual), ...shown, ...data };
  // Of a size that was published for SiT alone, channels for a variance are thrown away.
  if ('discardSigma' in config && config.discardSigma) {
    Object.assign(config, { learnSigma: false, discardSigma: data.learnSigma });
  }
  const assumed = {
    ...Object.fromEntries(assumedData.map((option) => [option, data[option as keyof typeof data]])),
    ...(data.classDropoutProb === 0 && data.numClasses !== 1 ? { classDropoutProb: 0 } : {}),
    ...(preset === undefined ? usual : {}),
  };
  return { name: preset?.[0] ?? family, spec: { family, config } as ModelSpec, assumed };
}

function agrees(config: ModelSpec['config'], shown: Partial<ModelSpec['config']>): boolean {
  const options = config as unknown as Readonly<Record<string, unknown>>;
  return Object.entries(shown).every(
    ([key, value]) => JSON.stringify(options[key]) === JSON.stringify(value),
  );
}
