/** @file What a family of networks is: all that is said of it, in one entry. */
import * as v from 'valibot';
import type { Shape } from '../core/shape.ts';
import type { Network, NetworkConfig } from './nn/network.ts';

/** What networks are for. */
export const ROLES = ['denoiser', 'autoencoder', 'features'] as const;
export type Role = (typeof ROLES)[number];

/** Shape of a tensor by its name; undefined where there is none. */
export type ShapeOf = (name: string) => Shape | undefined;

/** What a checkpoint's tensors show. */
export interface Recognised<Config> {
  /** What follows from the data: no matter of the model's size. */
  readonly data: Pick<Config, keyof NetworkConfig & keyof Config> & Partial<Config>;
  /** What tensors show of the rest. */
  readonly shown: Partial<Config>;
  /** The others, as they are taken to be where no preset has the sizes shown. */
  readonly usual: Partial<Config>;
  /** Options of the data that no tensor shows. */
  readonly assumedData: readonly string[];
}

export interface NetworkFamily<N extends Network = Network> {
  readonly role: Role;
  /** Its options and their kinds. */
  readonly options: v.ObjectEntries;
  /** Options that were added later, with their values in files that lack them. */
  readonly added?: Readonly<Record<string, unknown>>;
  // A method, so that a family of some configuration is one of any.
  build(config: N['config']): N;
  /** Published configurations by name. */
  readonly presets: Readonly<Record<string, N['config']>>;
  /** What the tensors of a file that says nothing of itself show, if they are of this family. */
  recognise?(shapeOf: ShapeOf, names: readonly string[]): Recognised<N['config']> | undefined;
  /** The checkpoint key of a tensor that a published file has under another name; other names stay as they are. */
  checkpointKey?(published: string): string;
}

export type Families = Readonly<Record<string, NetworkFamily>>;

/** What is recorded to build a network again. */
export interface NetworkSpec {
  readonly family: string;
  readonly config: NetworkConfig;
}

/** Specs of these families as they are written down. */
export function specSchema(families: Families): v.GenericSchema<unknown, NetworkSpec> {
  const variants = Object.entries(families).map(([family, { options, added = {} }]) => {
    const stored = Object.entries(options).map(([name, kind]) => {
      return [name, Object.hasOwn(added, name) ? v.optional(kind, added[name] as never) : kind];
    });
    return v.strictObject({ family: v.literal(family), config: v.strictObject(Object.fromEntries(stored)) });
  });
  return v.variant('family', variants as never) as unknown as v.GenericSchema<unknown, NetworkSpec>;
}
