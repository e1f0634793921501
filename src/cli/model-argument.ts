/** @file The model that an argument means, without its weights: a preset, a configuration, a run or a checkpoint. */
import { statSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../core/image-size.ts';
import { findAnyCheckpoint, locateCheckpoint } from '../models/bundled-node.ts';
import type { NetworkSpec, Role } from '../networks/family.ts';
import type { Network } from '../networks/nn/network.ts';
import { PRESETS, presetSpec } from '../networks/presets.ts';
import { createModel, type ModelSpec } from '../networks/registry.ts';
import { type ConfigLayer, layerOf } from '../tasks/training/config/config-layer.ts';
import { modelOfConfig } from '../tasks/training/config/model-for-data.ts';
import { resolveTrainConfig } from '../tasks/training/config/train-config.ts';
import { readConfigFile } from './config-arguments.ts';

/** What a path that does not exist must look like to be missed as a file, and not as a preset. */
const CHECKPOINT_NAME = /\.(safetensors|pt|pth|bin)$/;

/** A network of any role, as its card names it. */
export interface NamedModel {
  readonly name: string;
  readonly role: Role;
  readonly spec: NetworkSpec;
  readonly network: Network;
}

/** What flags change about a preset or a configuration. */
export interface ModelChanges {
  /** A square is also the size that it would be trained at; of a trained model it is no change. */
  readonly imageSize?: ImageSize;
  /** Of the section `model`. */
  readonly options: readonly ConfigLayer[];
}

/**
 * @param argument - a preset's name, a .json configuration, a run folder, a checkpoint or the name of fetched weights
 * @throws ConfigError or CheckpointError if there is no such model, or if a checkpoint is to be changed
 */
export async function modelFromArgument(argument: string, changes: ModelChanges): Promise<NamedModel> {
  expectModelKeys(changes.options);
  if (Object.hasOwn(PRESETS, argument)) return presetWith(argument, changes);
  if (argument.endsWith('.json')) return configuredModel(argument, changes);
  const path = await locateCheckpoint(argument);
  if (!CHECKPOINT_NAME.test(path) && statSync(path, { throwIfNoEntry: false }) === undefined) {
    return built(argument, presetSpec(argument)); // throws, naming the nearest
  }
  const { card, network, close } = await findAnyCheckpoint(path);
  await close();
  const { name, role = 'denoiser', spec } = card;
  if (changes.options.length === 0) return { name, role, spec, network };
  throw new ConfigError({
    where: path,
    problem: 'the options of a trained model cannot be changed',
    fix: `give its preset instead, as in udit inspect ${name}`,
  });
}

/** The files behind such an argument; none for a preset. */
export async function filesRead(argument: string): Promise<string[]> {
  if (Object.hasOwn(PRESETS, argument)) return [];
  return [argument.endsWith('.json') ? argument : await locateCheckpoint(argument)];
}

function presetWith(preset: string, { imageSize, options }: ModelChanges): NamedModel {
  const size = trainedAt('model.inputSize', imageSize);
  const { model } = resolveTrainConfig([{ model: { preset } }, ...size, ...options]);
  const { preset: name, ...overrides } = model;
  return built(name, presetSpec(name, overrides));
}

/** The size of a configured model is that of its pictures. */
async function configuredModel(path: string, { imageSize, options }: ModelChanges): Promise<NamedModel> {
  const size = trainedAt('data.imageSize', imageSize);
  const config = resolveTrainConfig([await readConfigFile(path), ...size, ...options]);
  return built(config.model.preset, modelOfConfig(config));
}

function built(name: string, spec: ModelSpec): NamedModel {
  return { name, role: 'denoiser', spec, network: createModel(spec) };
}

function trainedAt(key: string, size: ImageSize | undefined): ConfigLayer[] {
  return size === undefined ? [] : [layerOf(key, writtenImageSize(size))];
}

function expectModelKeys(options: readonly ConfigLayer[]): void {
  const other = options.flatMap(Object.keys).find((section) => section !== 'model');
  if (other === undefined) return;
  throw new ConfigError({
    where: '--set',
    problem: `${other} is no part of the model`,
    fix: 'set a key of model, as in --set model.width=48',
  });
}
