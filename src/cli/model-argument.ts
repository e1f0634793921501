/** @file The model that an argument means, without its weights: a preset, a configuration, a run or a checkpoint. */
import { statSync } from 'node:fs';
import { uditCommand } from '../core/command.ts';
import { ConfigError } from '../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../core/image-size.ts';
import { type ImageSpace, USUAL_LATENTS, usualSpace } from '../core/image-space.ts';
import { findAnyCheckpoint, locateCheckpoint } from '../models/bundled-node.ts';
import type { NetworkSpec, Role } from '../networks/family.ts';
import type { Network } from '../networks/nn/network.ts';
import { PRESETS, presetSpec } from '../networks/presets.ts';
import { createModel, type ModelSpec } from '../networks/registry.ts';
import type { ConfigLayer } from '../tasks/training/config/config-layer.ts';
import { modelOfConfig } from '../tasks/training/config/model-for-data.ts';
import { resolveTrainConfig } from '../tasks/training/config/train-config.ts';
import { withRecognisedData } from '../tasks/training/run/recognised-data.ts';
import { readConfigFile } from './config-arguments.ts';
import { type SizeFlags, sizeIn, tracedSize } from './model-flags.ts';

/** What looks like a path that does not exist: presets end in their patch size, as in `DiT-XL/2`, and in no ending. */
const PATH_LIKE = /[\\/](?!\d+$)|\.\w+$/;

/** A network of any role, as its card names it. */
export interface NamedModel {
  readonly name: string;
  readonly role: Role;
  readonly spec: NetworkSpec;
  readonly network: Network;
  /** The requested one, in the units of its input; undefined where none is requested. */
  readonly size: ImageSize | undefined;
}

/** What flags change about a preset or a configuration. */
export interface ModelChanges {
  /** A square is also the size that it would be trained at; of a trained model it is no change. */
  readonly sizes: SizeFlags;
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
  if (!PATH_LIKE.test(path) && statSync(path, { throwIfNoEntry: false }) === undefined) {
    presetSpec(argument); // throws, naming the nearest
  }
  const found = await findAnyCheckpoint(path);
  await found.close();
  const { card, network } = found;
  const { name, role = 'denoiser', spec } = card;
  const size = tracedSize(found, changes.sizes);
  if (changes.options.length === 0) return { name, role, spec, network, size };
  throw new ConfigError({
    where: path,
    problem: 'the options of a trained model cannot be changed',
    fix: `give its preset instead, as in ${uditCommand('inspect', name)}`,
  });
}

/** The files behind such an argument; none for a preset. */
export async function filesRead(argument: string): Promise<string[]> {
  if (Object.hasOwn(PRESETS, argument)) return [];
  return [argument.endsWith('.json') ? argument : await locateCheckpoint(argument)];
}

function presetWith(preset: string, { sizes, options }: ModelChanges): NamedModel {
  const { model } = resolveTrainConfig([{ model: { preset } }, ...options]);
  const { preset: name, ...overrides } = model;
  const spec = presetSpec(name, overrides);
  return builtAt(sizes, name, spec, usualSpace(spec.config.inChannels));
}

async function configuredModel(path: string, { sizes, options }: ModelChanges): Promise<NamedModel> {
  const config = resolveTrainConfig(await withRecognisedData([await readConfigFile(path), ...options]));
  const space: ImageSpace = config.data.kind === 'latents' ? USUAL_LATENTS : { kind: 'pixels' };
  return builtAt(sizes, config.model.preset, modelOfConfig(config), space);
}

function builtAt(sizes: SizeFlags, name: string, spec: ModelSpec, space: ImageSpace): NamedModel {
  const size = sizeIn(space, sizes, name);
  const inputSize = size === undefined ? spec.config.inputSize : writtenImageSize(size);
  const sized = { ...spec, config: { ...spec.config, inputSize } } as ModelSpec;
  return { name, role: 'denoiser', spec: sized, network: createModel(sized), size };
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
