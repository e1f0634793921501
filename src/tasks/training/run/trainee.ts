/** @file What a run trains: a network, how it learns, and what its checkpoints say of it. */
import type { Samples } from '../../../data/datasets/samples.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CardOfRole, NetworkOfRole } from '../../../models/saved-model.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import type { Families, Role } from '../../../networks/family.ts';
import { autoencoderSpec } from '../../../networks/presets.ts';
import { createAutoencoder, createModel, type ModelSpec } from '../../../networks/registry.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import {
  autoencoderForData,
  modelForData,
  modelOfConfig,
  PICTURE_CHANNELS,
} from '../config/model-for-data.ts';
import {
  type AutoencoderTrainConfig,
  type RunConfig,
  type TrainConfig,
  trainsAutoencoder,
} from '../config/train-config.ts';
import { autoencoding } from '../step/autoencoding.ts';
import { denoising } from '../step/denoising.ts';
import type { Learning } from '../step/learning.ts';

export interface Trainee<R extends Role = Role> {
  readonly learning: Learning<NetworkOfRole[R]>;
  /** What is the same in all checkpoints of the run. */
  readonly card: Omit<CardOfRole[R], 'step' | 'nimg' | 'version'>;
  /** Of one's own, which it or its initial weights may be of. Default: none. */
  readonly families?: Families;
}

/** The role of the network that such a run trains. */
export type RoleTrainedBy<Config extends RunConfig> = Config extends AutoencoderTrainConfig
  ? 'autoencoder'
  : 'denoiser';

type Data = Pick<Samples, 'shape' | 'space' | 'classNames'>;

/** @throws ConfigError if the network of the configuration does not fit the data */
export function traineeFor<Config extends RunConfig>(
  config: Config,
  samples: Data,
  families: Families = {},
): Trainee<RoleTrainedBy<Config>> {
  const trainee = trainsAutoencoder(config)
    ? autoencoderToTrain(config, samples)
    : denoiserToTrain(config as TrainConfig, samples, families);
  return trainee as Trainee as Trainee<RoleTrainedBy<Config>>;
}

/** How the denoiser of a configuration learns. */
export function learningOf(
  spec: ModelSpec,
  { objective }: Pick<TrainConfig, 'objective'>,
  families?: Families,
): Learning<Denoiser> {
  return denoising(createModel(spec, families), createObjective(objective));
}

/** How the smallest network that the configuration could mean learns: with one class, if nothing tells how many there are. */
export function leastLearning(config: RunConfig, families?: Families): Learning {
  if (!trainsAutoencoder(config)) {
    return learningOf(modelOfConfig(config, 1, families), config, families);
  }
  const { preset } = config.model;
  const inputSize = config.data.imageSize ?? autoencoderSpec(preset).config.inputSize;
  const shape = imageShapeOf({ inChannels: PICTURE_CHANNELS, inputSize });
  return autoencoderToTrain(config, { shape, space: { kind: 'pixels' } }).learning;
}

function denoiserToTrain(config: TrainConfig, samples: Data, families: Families): Trainee<'denoiser'> {
  const { objective } = config;
  const spec = modelForData(config, samples, createObjective(objective), families);
  return {
    learning: learningOf(spec, config, families),
    card: {
      name: config.model.preset,
      ...{ spec, objective, classNames: samples.classNames },
      ...(samples.space.kind === 'latents' ? { space: samples.space } : {}),
    },
    families,
  };
}

function autoencoderToTrain(
  config: AutoencoderTrainConfig,
  samples: Pick<Data, 'shape' | 'space'>,
): Trainee<'autoencoder'> {
  const { preset } = config.model;
  const spec = autoencoderForData(config, samples);
  const { factor } = spec.config;
  return {
    learning: autoencoding(createAutoencoder(spec), config.objective),
    card: {
      role: 'autoencoder',
      name: preset,
      spec,
      space: { kind: 'latents', autoencoder: preset, factor, scale: 1, shift: 0 },
    },
  };
}
