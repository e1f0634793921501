/**
 * @file Opens a checkpoint of any origin as a model. What udit wrote says itself what it is; of other files the names and
 * shapes of their tensors tell, or the user does.
 */

import { CheckpointError, ConfigError } from '../core/errors.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import type { OptionTable } from '../core/options.ts';
import { randomKey } from '../core/random.ts';
import { readTensors, type TensorInfo, type TensorSource } from '../core/tensor-source.ts';
import { fitParameters, unneeded } from '../formats/fit.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { FAMILIES, type ModelSpec } from '../networks/families.ts';
import { type Families, type NetworkFamily, type NetworkSpec, ROLES, type Role } from '../networks/family.ts';
import type { Parameter } from '../networks/nn/module.ts';
import type { Network } from '../networks/nn/network.ts';
import { findDiffusersParameters } from './diffusers-names.ts';
import { chooseForeignWeights } from './foreign-weights.ts';
import { describePublishedAutoencoder } from './published-autoencoder.ts';
import { describePublishedFeatures } from './published-features.ts';
import { describePublished, type ModelDescription, type PublishedRequest } from './published-model.ts';
import {
  type CardOfRole,
  FORMAT,
  type NetworkCard,
  type NetworkOfRole,
  otherRole,
  readCard,
  type SavedModel,
  type SavedNetwork,
  type WeightSet,
} from './saved-model.ts';
import {
  describeSparseAttention,
  type SparseAttentionRequest,
  withSparseAttention,
} from './sparse-attention.ts';
import { infoOf, readStored, type StoredParameters } from './stored-parameters.ts';
import { type ChosenWeights, chooseOwnWeights } from './weight-sets.ts';

export interface ModelRequest extends PublishedRequest, SparseAttentionRequest {
  /** Preferred where there are several: `model`, `ema`, or the name of another average. Default: an average. */
  readonly weights?: WeightSet | undefined;
}

export interface NetworkRequest<R extends Role = Role> extends ModelRequest {
  /** What the network must be for. Default: a denoiser. */
  readonly role?: R | undefined;
  /** Families of one's own that its network may be of, beside those of this project. */
  readonly families?: Families | undefined;
}

export const REQUEST_OPTIONS: OptionTable<NetworkRequest> = {
  ...({ weights: 'optional', role: 'optional', families: 'optional' } as const),
  ...({ preset: 'optional', numClasses: 'optional', imageSize: 'optional' } as const),
  ...({ tokens: 'optional', downFactor: 'optional' } as const),
};

/** A model in a file, whose weights can be read one by one. */
export interface FoundNetwork<R extends Role> extends Omit<SavedNetwork<R>, 'weights'> {
  /** By checkpoint key, as float32. Reading one throws a CheckpointError where it holds no finite floats. */
  readonly weights: TensorSource;
}

export type FoundModel = FoundNetwork<'denoiser'>;

/**
 * The network that a file holds. Nothing but the names and shapes of its tensors is looked at.
 *
 * @param where what the user calls the file
 * @throws CheckpointError if its tensors are those of no model, or of another one than it or `request` says
 * @throws ConfigError if `request` cannot be, tells a file what it says itself, or needs another role
 */
export function findNetwork<R extends Role = 'denoiser'>(
  file: TensorFile,
  where: string,
  request: NetworkRequest<R> = {},
): FoundNetwork<R> {
  const { parameters, stored, inFile, ...found } = locate(file, where, request);
  const read = async (name: string) => {
    const original = inFile.get(name)!;
    return usableWeight(original, await file.read(original), where);
  };
  return {
    ...found,
    weights: {
      infos: new Map(parameters.map(({ name, shape }) => [name, { dtype: 'f32', shape }])),
      read: async (name) => {
        const tensors = stored.get(name);
        return tensors === undefined ? computedValue(found.network, name) : readStored(tensors, read, where);
      },
    },
  };
}

/** Of a parameter that the file lacks. */
function computedValue(network: Network, wanted: string): HostTensor<'f32'> {
  const { shape } = [...network.parameters()].find(({ name }) => name === wanted)!;
  return hostTensor('f32', shape, network.initRule(wanted, shape)(shape, randomKey(0)));
}

/** The same for a denoiser. */
export function findModel(file: TensorFile, where: string, request: ModelRequest = {}): FoundModel {
  return findNetwork(file, where, { ...request, role: 'denoiser' });
}

/** The same, with its weights in memory. */
export async function loadNetwork<R extends Role = 'denoiser'>(
  file: TensorFile,
  where: string,
  request: NetworkRequest<R> = {},
): Promise<SavedNetwork<R>> {
  const found = findNetwork(file, where, request);
  return { ...found, weights: await readTensors(found.weights) };
}

/** What the network of a file is for, as it says or as its tensors show; a denoiser where nothing tells. */
export function roleOf({ metadata, infos, unreadable = new Map() }: TensorFile): Role {
  if (metadata.format === FORMAT) return ROLES.find((role) => role === metadata.role) ?? 'denoiser';
  const names = [...infos.keys(), ...unreadable.keys()];
  return ROLES.find((role) => chooseForeignWeights(names, 'ema', role) !== undefined) ?? 'denoiser';
}

interface Located<R extends Role> extends Omit<SavedNetwork<R>, 'weights'> {
  /** All of the model, in their order. */
  readonly parameters: readonly Parameter[];
  /** Those that the file has. */
  readonly stored: StoredParameters;
  /** Names in the file by those in its set of weights. */
  readonly inFile: ReadonlyMap<string, string>;
}

function locate<R extends Role>(file: TensorFile, where: string, request: NetworkRequest<R>): Located<R> {
  const isOwn = file.metadata.format === FORMAT;
  const { unreadable = new Map<string, string>() } = file;
  const allNames = [...file.infos.keys(), ...unreadable.keys()];
  const { weights, role = 'denoiser' } = request;
  const chosen = isOwn
    ? chooseOwnWeights(allNames, weights, file.metadata)
    : chooseForeignWeights(allNames, weights ?? 'ema', role);
  if (chosen === undefined) {
    const found = ROLES.find((other) => chooseForeignWeights(allNames, 'ema', other) !== undefined);
    throw found === undefined ? noNetwork(file, where, role) : otherRole(where, found, role);
  }
  const stored = storedIn(new Set(chosen.names.keys()), where, role);
  const readable = new Map(
    [...chosen.names].flatMap(([name, inFile]) => {
      const info = file.infos.get(inFile);
      return info === undefined ? [] : [[name, info]];
    }),
  );
  const infos = new Map(
    [...stored].flatMap(([name, tensors]) => {
      const info = infoOf(tensors, readable, where);
      return info === undefined ? [] : [[name, info]];
    }),
  );
  const families: Families = { ...FAMILIES, ...request.families };
  const { findings, advice, ...described } = isOwn
    ? describeOwn(file, infos, where, { ...request, families })
    : describeForeign(infos, file.metadata, where, request);
  const isDenoiser = described.card.role === undefined || described.card.role === 'denoiser';
  const spec = isDenoiser
    ? withSparseAttention(described.card.spec as ModelSpec, request)
    : described.card.spec;
  const card = { ...described.card, spec };
  const network = build(spec, families, where, request);
  const parameters = [...network.parameters()];
  const expected = parameters.filter(({ name, computed }) => stored.has(name) || !computed);
  for (const { name } of expected) {
    for (const tensor of stored.get(name)?.names ?? []) {
      const inFile = chosen.names.get(tensor)!;
      const reason = unreadable.get(inFile);
      if (reason !== undefined) throw needed(inFile, reason, where);
    }
  }
  const used = expected.flatMap(({ name }) => stored.get(name)?.names ?? [name]);
  const extra = unneeded(used, readable.keys());
  const rest = new Map([...infos].filter(([name]) => !extra.includes(name)));
  fitParameters(expected, rest, { where, model: card.name, advice });
  return {
    card: card as CardOfRole[R],
    network: network as NetworkOfRole[R],
    source: chosen.source,
    findings: [
      ...describeChoice(chosen),
      ...findings,
      ...describeStored(stored, parameters),
      ...describeRest(extra, file.passedOver ?? []),
      ...(isDenoiser ? describeSparseAttention(spec as ModelSpec) : []),
    ],
    parameters,
    stored,
    inFile: chosen.names,
  };
}

/** What the tensors of a set stand for; those under the names of the original, for themselves. */
function storedIn(names: ReadonlySet<string>, where: string, role: Role): StoredParameters {
  const keyOf = (name: string) =>
    Object.values<NetworkFamily>(FAMILIES)
      .filter((family) => family.role === role)
      .reduce((key, { checkpointKey }) => checkpointKey?.(key) ?? key, name);
  const ofDiffusers: StoredParameters = findDiffusersParameters(names, where) ?? new Map();
  const used = new Set([...ofDiffusers.values()].flatMap((one) => one.names));
  const rest = [...names].filter((name) => !used.has(name));
  return new Map([
    ...rest.map((name) => [keyOf(name), { names: [name], areCopies: false }] as const),
    ...ofDiffusers,
  ]);
}

interface NetworkDescription extends Omit<ModelDescription, 'card'> {
  readonly card: NetworkCard;
}

/** A file that says nothing of itself is recognised by its tensors. */
function describeForeign(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: Readonly<Record<string, string>>,
  where: string,
  request: NetworkRequest,
): NetworkDescription {
  if (request.role === 'autoencoder') return describePublishedAutoencoder(tensors, where);
  if (request.role === 'features') return describePublishedFeatures(tensors, where);
  return describePublished(tensors, metadata, where, request);
}

function describeOwn(
  file: TensorFile,
  tensors: ReadonlyMap<string, TensorInfo>,
  where: string,
  { preset, numClasses, role, families }: NetworkRequest & { readonly families: Families },
): NetworkDescription {
  const card = readCard(file, where, { families, ...(role === undefined ? {} : { role }) });
  const flags = { '--model': preset, '--num-classes': numClasses };
  const [given] = Object.entries(flags).find(([, value]) => value !== undefined) ?? [];
  if (given !== undefined) {
    throw new ConfigError({
      where: given,
      problem: `${where} names its own model: ${card.name}`,
      fix: `leave ${given} out`,
    });
  }
  checkDepth(card.spec, tensors.size, where);
  return { card, findings: [], advice: undefined };
}

/** What a file says is wrong is its own fault; what the user says of it is a question of flags. */
function build(spec: NetworkSpec, families: Families, where: string, request: ModelRequest): Network {
  try {
    return families[spec.family]!.build(spec.config);
  } catch (cause) {
    const { preset, imageSize, numClasses, tokens, downFactor } = request;
    const isAsked = [preset, imageSize, numClasses, tokens, downFactor].some((flag) => flag !== undefined);
    if (isAsked || !(cause instanceof ConfigError)) throw cause;
    throw new CheckpointError({
      where,
      problem: `its metadata or its shapes describe an impossible model: ${cause.where}: ${cause.problem}`,
      fix: 'name its model with --model, if the file is not damaged',
      cause,
    });
  }
}

/** A number is quickly written, and a model of that many blocks is not quickly built. */
function checkDepth({ config }: NetworkSpec, tensorCount: number, where: string): void {
  const { depth = [] } = config as { readonly depth?: number | readonly number[] };
  const blocks = [depth].flat().reduce((sum, count) => sum + count, 0);
  if (blocks <= tensorCount) return;
  throw new CheckpointError({
    where,
    problem: `its metadata says ${blocks} blocks, but it has ${tensorCount} tensors`,
    fix: 'the file is damaged: copy or write it again',
  });
}

/** What every network of a role begins with, by the name of its tensor. */
const BEGINNINGS: Readonly<Record<Role, string>> = {
  denoiser: 'embeds the images of a model (…x_embedder.proj.weight)',
  autoencoder: 'is the first of an encoder (…encoder.conv_in.weight or …encoder.layers.0.weight)',
  features: 'is the first of a feature network (Conv2d_1a_3x3.conv.weight or cls_token)',
};

const EXAMPLES: Readonly<Record<Role, string>> = {
  denoiser: 'give a checkpoint of U-DiT or DiT',
  autoencoder: 'give a checkpoint of AutoencoderKL or TAESD',
  features: 'give the weights of FID-Inception or DINOv2',
};

function noNetwork({ format, infos }: TensorFile, where: string, role: Role): CheckpointError {
  const names = [...infos.keys()];
  return new CheckpointError({
    where,
    problem: `a ${format} file of ${names.length} tensors, but none of them ${BEGINNINGS[role]}`,
    facts: [['tensors', `${names.slice(0, 3).join('   ')}${names.length > 3 ? ' …' : ''}`]],
    fix: EXAMPLES[role],
  });
}

/** A tensor that the model needs, and that cannot be read. */
function needed(name: string, reason: string, where: string): CheckpointError {
  return new CheckpointError({
    where,
    problem: `the model needs the tensor ${name}, which ${reason}`,
    fix: 'load the file in PyTorch and save its weights as float32, float16 or bfloat16',
  });
}

function describeChoice({ source, prefix, others }: ChosenWeights): SavedModel['findings'] {
  if (others.length === 0) return [];
  const label = (begin: string): string => begin.replace(/\.$/, '') || 'those without a name';
  const isOneOfTwo = others.length === 1 || prefix === undefined;
  const chosen = isOneOfTwo ? source : `${source} (${label(prefix)})`;
  const more = isOneOfTwo ? '' : '; --weights takes another by its name';
  return [['weights', `${chosen}, preferred to ${others.map(label).join(', ')}${more}`]];
}

function describeStored(
  stored: StoredParameters,
  parameters: readonly Parameter[],
): [label: string, text: string][] {
  const computed = parameters.filter(({ name }) => !stored.has(name)).map(({ name }) => name);
  const isRenamed = [...stored.values()].some(({ names }) => names.length > 1);
  return [
    ...(isRenamed ? [['names', 'those of diffusers; computed as the original network']] : []),
    ...(computed.length > 0 ? [['computed', computed.join(', ')]] : []),
  ] as [string, string][];
}

const LONGEST_LIST = 6;

function describeRest(
  extra: readonly string[],
  passedOver: readonly string[],
): [label: string, text: string][] {
  const listed = (names: readonly string[]): string => {
    const rest = names.length - LONGEST_LIST;
    return names.slice(0, LONGEST_LIST).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
  };
  return [
    ...(extra.length === 0 ? [] : ([['not used', listed(extra)]] as [string, string][])),
    ...(passedOver.length === 0
      ? []
      : ([['passed over', `objects of ${listed(passedOver)}`]] as [string, string][])),
  ];
}

/** As float32, all of it finite. */
function usableWeight(name: string, tensor: HostTensor, where: string): HostTensor<'f32'> {
  const { dtype, shape, data } = tensor;
  const values = data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number);
  // Integers are weights too where float32 holds them; float64 is rounded, as PyTorch does.
  const rounded =
    dtype === 'f64' || dtype === 'f32' ? -1 : values.findIndex((value, i) => value !== Number(data[i]));
  if (rounded >= 0) {
    throw new CheckpointError({
      where,
      problem: `tensor ${name} of ${dtype} holds ${data[rounded]} at index ${rounded}, which float32 does not`,
      fix: 'save the weights as float32, float16 or bfloat16',
    });
  }
  let unusable = 0;
  // By index: there may be hundreds of millions.
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) unusable++;
  if (unusable > 0) {
    const first = values.findIndex((value) => !Number.isFinite(value));
    throw new CheckpointError({
      where,
      problem: `tensor ${name}: ${unusable} of ${values.length} values are not finite; the first is ${values[first]} at index ${first}`,
      fix: 'its training diverged, or the file is damaged: use an earlier checkpoint',
    });
  }
  return hostTensor('f32', shape, values);
}
