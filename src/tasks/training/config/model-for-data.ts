/** @file The model of a run: its preset and options, fitted to the data and the objective. */
import { ConfigError } from '../../../core/errors.ts';
import { writtenImageSize } from '../../../core/image-size.ts';
import { dataName } from '../../../data/datasets/data-config.ts';
import type { Samples } from '../../../data/datasets/samples.ts';
import type { FlowObjective } from '../../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../../diffusion/gaussian/objective.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { Families } from '../../../networks/family.ts';
import { autoencoderSpec, presetSpec } from '../../../networks/presets.ts';
import type { AutoencoderSpec, ModelSpec } from '../../../networks/registry.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import type { AutoencoderTrainConfig, TrainConfig } from './train-config.ts';

/** Red, green and blue: whatever a picture's file holds, it is trained on so. */
export const PICTURE_CHANNELS = 3;

/** Options of a model that follow from the data and the objective of a run. */
export const OF_THE_RUN: readonly string[] = ['inputSize', 'inChannels', 'numClasses', 'learnSigma'];

/**
 * Size, channels, classes and outputs follow from data and objective; where the configuration also states them, they
 * must agree (more classes than the data has are allowed).
 *
 * @param families - of one's own, beside those of this project
 * @throws ConfigError for a contradiction, with both values
 */
export function modelForData(
  { model: { preset, ...options }, data }: Pick<TrainConfig, 'model' | 'data'>,
  {
    shape: [channels, height, width],
    classNames,
  }: Pick<Samples, 'shape'> & { readonly classNames: { readonly length: number } },
  objective: FlowObjective | GaussianObjective,
  families: Families = {},
): ModelSpec {
  const implied = {
    inputSize: writtenImageSize({ height, width }),
    inChannels: channels,
    learnSigma: objective.outputsPerChannel === 2,
  };
  expectAgreement(options, implied, dataName(data));
  const classes = classNames.length;
  const numClasses = options.numClasses ?? classes;
  if (numClasses < classes) {
    throw new ConfigError({
      where: 'configuration: model.numClasses',
      problem: `is ${JSON.stringify(numClasses)}, but ${dataName(data)} has ${classes} classes`,
      fix: `leave --num-classes out, or use ${classes} or more`,
    });
  }
  return presetSpec(preset, { ...options, ...implied, numClasses }, families);
}

/**
 * Size and channels of an autoencoder are those of the pictures.
 *
 * @throws ConfigError for a contradiction, with both values, and for data that are latents already
 */
export function autoencoderForData(
  { model: { preset, ...options }, data }: Pick<AutoencoderTrainConfig, 'model' | 'data'>,
  { shape: [channels, height, width], space }: Pick<Samples, 'shape' | 'space'>,
): AutoencoderSpec {
  if (space.kind !== 'pixels') {
    throw new ConfigError({
      where: 'configuration: data',
      problem: `${dataName(data)} holds latents, but an autoencoder is trained on pictures`,
      fix: 'use a folder of pictures, emoji or emoji-3d',
    });
  }
  const implied = { inputSize: writtenImageSize({ height, width }), inChannels: channels };
  expectAgreement(options, implied, dataName(data));
  return autoencoderSpec(preset, { ...options, ...implied });
}

function expectAgreement(
  stated: Readonly<Record<string, unknown>>,
  implied: Readonly<Record<string, unknown>>,
  data: string,
): void {
  const key = Object.keys(implied).find((name) => (stated[name] ?? implied[name]) !== implied[name]);
  if (key === undefined) return;
  throw new ConfigError({
    where: `configuration: model.${key}`,
    problem: `is ${JSON.stringify(stated[key])}, but ${data} with this objective needs ${JSON.stringify(implied[key])}`,
    fix: `leave model.${key} out`,
  });
}

/**
 * What {@link modelForData} would make, without opening the data.
 *
 * @param classes - if none are stated; default: as many as the preset has
 */
export function modelOfConfig(config: TrainConfig, classes?: number, families: Families = {}): ModelSpec {
  const preset = presetSpec(config.model.preset, {}, families);
  const classNames = { length: config.model.numClasses ?? classes ?? preset.config.numClasses };
  return modelForData(
    config,
    { shape: shapeOfConfig(config, preset), classNames },
    createObjective(config.objective),
    families,
  );
}

/** Of what a sample is to be, as far as that is known before the data are opened: latents are those of the model. */
function shapeOfConfig(
  { data, model }: Pick<TrainConfig, 'data' | 'model'>,
  preset: ModelSpec,
): Samples['shape'] {
  return data.kind === 'latents'
    ? imageShapeOf({ ...preset.config, ...model })
    : imageShapeOf({ inChannels: PICTURE_CHANNELS, inputSize: data.imageSize });
}
