/** @file Which network a checkpoint belongs to, from the names and shapes of its tensors alone. */
import type { Shape } from '../core/shape.ts';
import {
  AUTOENCODERS,
  type AutoencoderSpec,
  DENOISERS,
  FEATURE_NETWORKS,
  type FeatureSpec,
  type ModelSpec,
} from './families.ts';
import type { Families, NetworkSpec, Recognised } from './family.ts';

export interface RecognisedNetwork<Spec extends NetworkSpec> {
  /** The preset with these sizes, or else the family. */
  readonly name: string;
  readonly spec: Spec;
  /** Options that no tensor shows, as they are taken to be. */
  readonly assumed: Readonly<Record<string, unknown>>;
}

export type RecognisedModel = RecognisedNetwork<ModelSpec>;

type Tensors = ReadonlyMap<string, { readonly shape: Shape }>;

export function recogniseModel(tensors: Tensors): RecognisedModel | undefined {
  const found = recogniseAmong<ModelSpec>(DENOISERS, tensors);
  if (found === undefined) return undefined;
  const model = complete(found);
  const { config } = model.spec;
  // Of a size that was published for SiT alone, channels for a variance are thrown away.
  if ('discardSigma' in config && config.discardSigma) {
    Object.assign(config, { learnSigma: false, discardSigma: found.recognised.data.learnSigma });
  }
  return model;
}

/** The same for an autoencoder. */
export function recogniseAutoencoder(tensors: Tensors): RecognisedNetwork<AutoencoderSpec> | undefined {
  const found = recogniseAmong<AutoencoderSpec>(AUTOENCODERS, tensors);
  return found && complete(found);
}

/** The same for a feature network. */
export function recogniseFeatures(tensors: Tensors): RecognisedNetwork<FeatureSpec> | undefined {
  const found = recogniseAmong<FeatureSpec>(FEATURE_NETWORKS, tensors);
  return found && complete(found);
}

interface Found<Spec extends NetworkSpec> {
  readonly family: Spec['family'];
  readonly presets: Readonly<Record<string, Spec['config']>>;
  readonly recognised: Recognised<Spec['config']>;
}

function recogniseAmong<Spec extends NetworkSpec>(
  families: Families,
  tensors: Tensors,
): Found<Spec> | undefined {
  const names = [...tensors.keys()];
  for (const [family, { recognise, presets }] of Object.entries(families)) {
    const recognised = recognise?.((name) => tensors.get(name)?.shape, names);
    if (recognised !== undefined) return { family, presets, recognised } as unknown as Found<Spec>;
  }
  return undefined;
}

function complete<Spec extends NetworkSpec>({
  family,
  presets,
  recognised,
}: Found<Spec>): RecognisedNetwork<Spec> {
  const { data, shown, usual, assumedData } = recognised;
  const [name, sizes] = Object.entries(presets).find(([, config]) => agrees(config, shown)) ?? [];
  const assumed = {
    ...Object.fromEntries(assumedData.map((option) => [option, data[option as keyof typeof data]])),
    ...(sizes === undefined ? usual : {}),
  };
  const config = { ...(sizes ?? usual), ...shown, ...data };
  return { name: name ?? family, spec: { family, config } as Spec, assumed };
}

function agrees(config: NetworkSpec['config'], shown: Partial<NetworkSpec['config']>): boolean {
  const options = config as unknown as Readonly<Record<string, unknown>>;
  return Object.entries(shown).every(
    ([key, value]) => JSON.stringify(options[key]) === JSON.stringify(value),
  );
}
