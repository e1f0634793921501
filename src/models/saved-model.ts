/**
 * @file A model with its weights and all that is needed to use it, and its form as a safetensors file: PyTorch keys, and
 * what the keys cannot say as metadata. A training checkpoint is the same file with more tensors in it.
 */
import * as v from 'valibot';
import { uditCommand } from '../core/command.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { type ImageSpace, type LatentSpace, usualSpace } from '../core/image-space.ts';
import { imageSpaceSchema, latentSpaceSchema } from '../core/image-space-schema.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { objectiveSchema } from '../diffusion/objective-schema.ts';
import type { ObjectiveSpec } from '../diffusion/objectives.ts';
import type { Autoencoder } from '../networks/autoencoders/autoencoder.ts';
import type { Denoiser } from '../networks/denoisers/denoiser.ts';
import { FAMILIES } from '../networks/families.ts';
import { type Families, type NetworkSpec, ROLES, type Role, specSchema } from '../networks/family.ts';
import type { FeatureNetwork } from '../networks/features/feature-network.ts';
import type { NetworkConfig } from '../networks/nn/network.ts';
import type { ModelSpec } from '../networks/registry.ts';

/** How a model is guided when nothing else is asked for, where that differs from the defaults of its kind. */
export interface SuggestedGuidance {
  readonly cfgScale?: number;
  /** Times from which steps are guided; see `GuidanceInterval`. */
  readonly cfgInterval?: readonly [lo: number, hi: number];
}

/** What a file says of any network in it. */
interface CardBase {
  /** As the user named it: a preset such as `U-DiT-XS`. */
  readonly name: string;
  readonly spec: NetworkSpec;
  /** Optimizer updates so far; 0 where nobody knows. */
  readonly step: number;
  /** Training images seen so far; 0 where nobody knows. */
  readonly nimg: number;
  /** The version of udit that wrote it. */
  readonly version?: string;
}

/** What a checkpoint of a denoiser says about itself. */
export interface ModelCard extends CardBase {
  /** Files that name no role are of denoisers. */
  readonly role?: 'denoiser';
  readonly spec: ModelSpec;
  readonly objective: ObjectiveSpec;
  readonly classNames: readonly string[];
  /** What was found to suit this model. */
  readonly guidance?: SuggestedGuidance;
  /** What its images are; see {@link spaceOf}. */
  readonly space?: ImageSpace;
}

export interface AutoencoderCard extends CardBase {
  readonly role: 'autoencoder';
  /** What its latents are. */
  readonly space: LatentSpace;
}

export interface FeatureCard extends CardBase {
  readonly role: 'features';
}

export interface CardOfRole {
  readonly denoiser: ModelCard;
  readonly autoencoder: AutoencoderCard;
  readonly features: FeatureCard;
}

export type NetworkCard = CardOfRole[Role];

export interface NetworkOfRole {
  readonly denoiser: Denoiser;
  readonly autoencoder: Autoencoder;
  readonly features: FeatureNetwork;
}

/** What a denoiser's images are: as its file says, else as the number of channels suggests. */
export function spaceOf({ space }: Pick<ModelCard, 'space'>, { inChannels }: NetworkConfig): ImageSpace {
  return space ?? usualSpace(inChannels);
}

/** A network of a role, with its weights and what is known of it. */
export interface SavedNetwork<R extends Role = Role> {
  readonly card: CardOfRole[R];
  readonly network: NetworkOfRole[R];
  /** Values of all parameters by checkpoint key. */
  readonly weights: TensorMap;
  /** Which of a checkpoint's sets these are. */
  readonly source: WeightSource;
  /** What was found out or assumed of a file that does not say it, as labelled lines. */
  readonly findings: readonly (readonly [label: string, text: string])[];
}

export type SavedModel = SavedNetwork<'denoiser'>;

/** An autoencoder in use, whose weights may lie in a file. */
export interface UsableAutoencoder extends Pick<SavedNetwork<'autoencoder'>, 'card' | 'network'> {
  readonly weights: TensorMap | TensorSource;
}

/** Weights under training are `model`; others are averages of them, by their names, and `ema` is the usual one. */
export type WeightSet = string;
/** Files of other programs may hold one set of weights that has no name: `unnamed`. */
export type WeightSource = WeightSet;

export const FORMAT = 'udit-1';

/**
 * Tensors of a training checkpoint are grouped by prefix, sets of weights by their names; a file of bare keys holds one
 * set of weights.
 */
export const weightsPrefix = (set: WeightSet): string => `${set}.`;
/** Of a buffer that the optimizer keeps. */
export const slotPrefix = (slot: string): string => `${OPTIMIZER_GROUP}.${slot}.`;
export const OPTIMIZER_GROUP = 'optimizer';

type Metadata = Readonly<Record<string, string>>;

export function cardMetadata(card: NetworkCard): Record<string, string> {
  const { name, spec, step, nimg, version } = card;
  return {
    format: FORMAT,
    name,
    spec: JSON.stringify(spec),
    ...roleMetadata(card),
    step: String(step),
    nimg: String(nimg),
    ...(version === undefined ? {} : { version }),
    ...('guidance' in card && card.guidance ? { guidance: JSON.stringify(card.guidance) } : {}),
    ...('space' in card && card.space ? { space: JSON.stringify(card.space) } : {}),
  };
}

function roleMetadata(card: NetworkCard): Record<string, string> {
  if (card.role === 'autoencoder' || card.role === 'features') return { role: card.role };
  return { objective: JSON.stringify(card.objective), class_names: JSON.stringify(card.classNames) };
}

const countText = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.safeInteger());
const jsonText = <S extends v.GenericSchema>(schema: S) => v.pipe(v.string(), v.parseJson(), schema);

const guidanceSchema = v.strictObject({
  cfgScale: v.exactOptional(v.number()),
  cfgInterval: v.exactOptional(v.tuple([v.number(), v.number()])),
});

function cardSchema(role: Role, families: Families) {
  const base = {
    name: v.string(),
    spec: jsonText(specSchema(families)),
    step: countText,
    nimg: countText,
    version: v.exactOptional(v.string()),
  };
  if (role === 'autoencoder')
    return v.object({ ...base, role: v.literal(role), space: jsonText(latentSpaceSchema) });
  if (role === 'features') return v.object({ ...base, role: v.literal(role) });
  return v.object({
    ...base,
    objective: jsonText(objectiveSchema),
    class_names: jsonText(v.array(v.string())),
    guidance: v.exactOptional(jsonText(guidanceSchema)),
    space: v.exactOptional(jsonText(imageSpaceSchema)),
  });
}

const NOUNS: Readonly<Record<Role, string>> = {
  denoiser: 'a denoiser',
  autoencoder: 'an autoencoder',
  features: 'a feature network',
};

/** What a file of each role is for. */
const COMMAND_OF: Readonly<Record<Role, (where: string) => string>> = {
  denoiser: (where) => uditCommand('sample', where),
  autoencoder: (where) => uditCommand('encode', 'PICTURES', '--autoencoder', where, '--out', 'LATENTS'),
  features: (where) => uditCommand('evaluate', 'REFERENCE', 'SAMPLES', '--extractor', where),
};

/**
 * @param families - that its network may be of; by default those of this project
 * @throws CheckpointError if the file was not written by udit
 * @throws ConfigError if it is of another role
 */
export function readCard<R extends Role = 'denoiser'>(
  { metadata }: { readonly metadata: Metadata },
  where: string,
  { role = 'denoiser' as R, families = FAMILIES }: { readonly role?: R; readonly families?: Families } = {},
): CardOfRole[R] {
  if (metadata.format !== FORMAT) {
    throw new CheckpointError({
      where,
      problem: `its metadata says format ${metadata.format ?? '(none)'}, not ${FORMAT}: the file does not name its model`,
      fix: 'use a checkpoint written by udit train',
    });
  }
  const found = ROLES.find((each) => each === (metadata.role ?? 'denoiser'));
  if (found !== undefined && found !== role) throw otherRole(where, found, role);
  expectKnownFamily(metadata.spec, families, where);
  const parsed = v.safeParse(cardSchema(role, families), metadata);
  if (found === undefined || !parsed.success) {
    const [issue] = parsed.issues ?? [];
    const what =
      issue === undefined ? `role ${metadata.role}` : `${v.getDotPath(issue as never)}: ${issue.message}`;
    throw new CheckpointError({
      where,
      problem: `its metadata does not describe a model: ${what}`,
      fix: 'the file is damaged, or of a newer udit: write it again, or update udit',
    });
  }
  const { class_names: classNames, ...card } = parsed.output as Record<string, unknown>;
  return { ...card, ...(classNames === undefined ? {} : { classNames }) } as unknown as CardOfRole[R];
}

/** A family may be known to another version, or to the program that has written the file. */
function expectKnownFamily(spec: string | undefined, families: Families, where: string): void {
  const named = v.safeParse(jsonText(v.object({ family: v.string() })), spec);
  if (!named.success || Object.hasOwn(families, named.output.family)) return;
  throw new CheckpointError({
    where,
    problem: `its network is of the family ${JSON.stringify(named.output.family)}, which is none of ${Object.keys(families).join(', ')}`,
    fix: 'give openModel this family as one of its `families`, or update udit',
  });
}

export function otherRole(where: string, found: Role, needed: Role): ConfigError {
  return new ConfigError({
    where,
    problem: `this file is ${NOUNS[found]}; ${NOUNS[needed]} is needed`,
    fix: `give a file of ${NOUNS[needed]}, or use this one as in ${COMMAND_OF[found](where)}`,
  });
}

/** The tensors under one prefix, or what is known of them, without it. */
export function tensorGroup<T>(tensors: ReadonlyMap<string, T>, prefix: string): Map<string, T> {
  const group = new Map<string, T>();
  for (const [key, tensor] of tensors)
    if (key.startsWith(prefix)) group.set(key.slice(prefix.length), tensor);
  return group;
}
