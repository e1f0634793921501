/** @file Weights that a run starts from instead of random ones: those of a checkpoint of any origin. */

import { isDeepStrictEqual } from 'node:util';
import { CheckpointError } from '../../../core/errors.ts';
import { sameShape } from '../../../core/shape.ts';
import type { TensorInfo, TensorSource } from '../../../core/tensor-source.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import { type ExpectedParameter, fitParameters, isClassTable } from '../../../formats/fit.ts';
import { findCheckpoint } from '../../../models/bundled-node.ts';
import { findCheckpointFile } from '../../../models/locate-node.ts';
import { findNetwork } from '../../../models/open-model.ts';
import type { ModelCard, NetworkCard } from '../../../models/saved-model.ts';
import { FAMILIES } from '../../../networks/families.ts';
import type { Families, NetworkFamily } from '../../../networks/family.ts';
import type { Network } from '../../../networks/nn/network.ts';
import { type ConfigLayer, isLayer, overlay } from '../config/config-layer.ts';
import { OF_THE_RUN } from '../config/model-for-data.ts';
import { presetOf, type RunConfig } from '../config/train-config.ts';
import { TrainState } from '../step/train-state.ts';
import {
  type Classes,
  type ClassTable,
  type ClassTableStart,
  rowsOfClasses,
  withClassRows,
} from './class-tables.ts';
import type { Trainee } from './trainee.ts';

export interface InitialWeights {
  /** The file, and which of its sets of weights is meant. */
  readonly from: string;
  /** Tensors of the file that the model begins with. */
  readonly takenOver: number;
  /** Modules with parameters that are not in the file, and begin as in a run from scratch. */
  readonly fresh: readonly string[];
  /** Tables for other classes, whose rows are those of the same name in the file. */
  readonly byName: readonly string[];
  /** Tables for other classes, which begin with the average of the classes in the file where it has none of the name. */
  readonly averaged: readonly string[];
}

/**
 * What a new run would begin with: the weights of a checkpoint, by preference the moving average.
 *
 * @param argument - what {@link findCheckpointFile} takes
 * @throws CheckpointError if it cannot be read, or has parameters that the model has not, or of another shape for another
 * reason than that its data have other channels or classes
 */
export async function findInitialWeights(
  argument: string,
  trainee: Trainee,
  { training: { initClasses } }: Pick<RunConfig, 'training'>,
): Promise<InitialWeights> {
  return withInitialWeights(argument, trainee, initClasses, async ({ initial }) => initial);
}

/** The same, and the state of a run that begins so; the parameters that the file has not are initialised. */
export async function startFromCheckpoint(
  argument: string,
  trainee: Trainee,
  seed: number,
  config: RunConfig,
): Promise<{ readonly initial: InitialWeights; readonly state: TrainState }> {
  const { initClasses } = config.training;
  return withInitialWeights(argument, trainee, initClasses, async ({ initial, weights, taken }) => ({
    initial,
    state: await TrainState.startingFrom(weights, taken, trainee.learning.network, seed, config),
  }));
}

/**
 * The layers of a new run, above what the checkpoint says that it begins with: its model and its objective are the file's,
 * unless the layers choose another preset.
 */
export async function aboveInitialModel(layers: readonly ConfigLayer[]): Promise<readonly ConfigLayer[]> {
  const { training } = layers.reduce(overlay, {});
  const initFrom = isLayer(training) ? training.initFrom : null;
  if (typeof initFrom !== 'string') return layers;
  const card = await cardOf(initFrom);
  if (card === undefined) return layers;
  const model = modelSection(card);
  const preset = presetOf(layers);
  if (preset !== undefined && preset !== model.preset) return layers;
  return [{ model, objective: card.objective }, ...layers];
}

/** Undefined where it cannot be read, which is said when its weights are needed. */
async function cardOf(argument: string): Promise<ModelCard | undefined> {
  try {
    const { card, close } = await findCheckpoint(await findCheckpointFile(argument));
    await close();
    return card;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}

/** A trained model as a configuration states it: a preset, and where it differs from that. */
function modelSection(
  { name, spec }: Pick<ModelCard, 'name' | 'spec'>,
  families: Families = {},
): { readonly preset: string; readonly [option: string]: unknown } {
  const { presets }: NetworkFamily = { ...FAMILIES, ...families }[spec.family];
  const preset = Object.hasOwn(presets, name) ? name : Object.keys(presets)[0]!;
  const usual: Readonly<Record<string, unknown>> = { ...presets[preset]! };
  const differing = Object.entries(spec.config).filter(
    ([option, value]) => !OF_THE_RUN.includes(option) && !isDeepStrictEqual(value, usual[option]),
  );
  return { preset, ...Object.fromEntries(differing) };
}

function adviceFor(card: NetworkCard, families: Families | undefined): string | undefined {
  // The families of other roles have no presets to choose from.
  if (card.role === 'autoencoder' || card.role === 'features') return undefined;
  const { preset, ...options } = modelSection(card, families);
  const flags = Object.entries(options).map(
    ([option, value]) => ` --set model.${option}=${JSON.stringify(value)}`,
  );
  return `leave --model and its options out, or give those of the file: --model ${preset}${flags.join('')}`;
}

interface MatchedFile {
  readonly initial: InitialWeights;
  readonly weights: TensorSource;
  /** Names of the tensors that the model begins with. */
  readonly taken: readonly string[];
}

async function withInitialWeights<T>(
  argument: string,
  { learning: { network }, card, families }: Trainee,
  initClasses: ClassTableStart = 'new',
  use: (file: MatchedFile) => Promise<T>,
): Promise<T> {
  const path = await findCheckpointFile(argument);
  const file = await openTensorFile(path);
  try {
    const found = findNetwork(file, path, { role: card.role ?? 'denoiser', families });
    const { weights, source } = found;
    const matched = matchWeights(network, weights.infos, path, {
      advice: adviceFor(found.card, families),
      forData: networkForData(found.card, network, families),
    });
    const rows = rowsOfClasses(classesOf(network, card), classesOf(found.network, found.card), initClasses);
    const tables = rows === undefined ? [] : classTables(network, weights.infos);
    const madeOfRows = tables.map(({ name }) => name);
    const others = (names: readonly string[]) => names.filter((name) => !madeOfRows.includes(name));
    const modules = madeOfRows.map(moduleOf);
    const areByName = rows?.every((row) => row !== undefined);
    const initial = {
      from: source === 'unnamed' ? path : `${path} (${source})`,
      takenOver: others(matched.taken).length,
      fresh: [...new Set(others(matched.fresh).map(moduleOf))],
      byName: areByName ? modules : [],
      averaged: areByName ? [] : modules,
    };
    const classes = { inFile: classesOf(found.network, found.card).count, rows: rows ?? [] };
    return await use({
      initial,
      weights: withClassRows(weights, tables, classes),
      taken: [...others(matched.taken), ...madeOfRows],
    });
  } finally {
    await file.close();
  }
}

/** What has no classes has 0. */
function classesOf({ config }: Network, card: Pick<NetworkCard, 'role'>): Classes {
  const names = 'classNames' in card ? (card.classNames as readonly string[]) : [];
  return { count: 'numClasses' in config ? Number(config.numClasses) : 0, names };
}

/** The tables of classes that network and file have, whatever the number of their rows. */
function classTables(network: Network, given: ReadonlyMap<string, TensorInfo>): ClassTable[] {
  return [...network.parameters()].filter(({ name, shape }) =>
    isClassTable(name, given.get(name)?.shape ?? [], shape),
  );
}

/** The network of a file as it would be for the data of another, of any size: with that many channels and classes. */
function networkForData(
  { spec }: Pick<NetworkCard, 'spec'>,
  { config }: Network,
  families?: Families,
): Network {
  const { build }: NetworkFamily = { ...FAMILIES, ...families }[spec.family]!;
  const given: Readonly<Record<string, unknown>> = { ...config };
  const ofData = OF_THE_RUN.filter((option) => option !== 'inputSize' && Object.hasOwn(given, option));
  return build({ ...spec.config, ...Object.fromEntries(ofData.map((option) => [option, given[option]])) });
}

interface MatchedWeights {
  /** Names of the parameters that are taken over. */
  readonly taken: readonly string[];
  /** Names of those that keep their initial values. */
  readonly fresh: readonly string[];
}

/**
 * The weights of another model are taken over as far as this one has them; the rest keeps its initial values: layers that
 * are new, and those that have another shape because the data have other channels or classes. Frozen parameters are part
 * of the weights that they were trained with; at another size they are this model's own.
 *
 * @param options - `forData`: the file's network, made for the data of this one
 * @throws CheckpointError if other weights do not fit the model
 */
export function matchWeights(
  model: Network,
  given: ReadonlyMap<string, TensorInfo>,
  where: string,
  { advice, forData }: { readonly advice?: string | undefined; readonly forData?: Network } = {},
): MatchedWeights {
  const parameters = [...model.parameters()];
  const shapesForData = new Map([...(forData?.parameters() ?? [])].map((one) => [one.name, one.shape]));
  const trained = parameters.filter(({ frozen }) => !frozen);
  const isFresh = ({ name, shape }: ExpectedParameter) => {
    const info = given.get(name);
    if (info === undefined) return true;
    return !sameShape(info.shape, shape) && sameShape(shapesForData.get(name) ?? [], shape);
  };
  const taken = trained.filter((parameter) => !isFresh(parameter));
  const frozen = parameters.filter(
    (one) => one.frozen && sameShape(given.get(one.name)?.shape ?? [], one.shape),
  );
  const passedOver = new Set(parameters.filter((one) => one.frozen || isFresh(one)).map(({ name }) => name));
  const rest = new Map([...given].filter(([name]) => !passedOver.has(name)));
  fitParameters(taken, rest, { where, model: 'the model of this run', advice });
  return {
    taken: [...taken, ...frozen].map(({ name }) => name),
    fresh: trained.filter(isFresh).map(({ name }) => name),
  };
}

/** The block or layer that a parameter belongs to: `encoder_level_1.0.attn.q.weight` → `encoder_level_1.0`. */
function moduleOf(name: string): string {
  return name.split('.').slice(0, 2).join('.');
}
