/** @file What a run trains: a network, how it learns, and what its checkpoints say of it. */
import type { Samples } from '../../../data/datasets/samples.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CardOfRole, NetworkOfRole } from '../../../models/saved-model.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import type { Families, Role } from '../../../networks/family.ts';
import { createModel, type ModelSpec } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import type { TrainConfig } from '../config/train-config.ts';
import { denoising } from '../step/denoising.ts';
import type { Learning } from '../step/learning.ts';

export interface Trainee<R extends Role = Role> {
  readonly learning: Learning<NetworkOfRole[R]>;
  /** What is the same in all checkpoints of the run. */
  readonly card: Omit<CardOfRole[R], 'step' | 'nimg' | 'version'>;
  /** Of one's own, which it or its initial weights may be of. Default: none. */
  readonly families?: Families;
}

/** How the denoiser of a configuration learns. */
export function learningOf(
  spec: ModelSpec,
  { objective }: Pick<TrainConfig, 'objective'>,
  families?: Families,
): Learning<Denoiser> {
  return denoising(createModel(spec, families), createObjective(objective));
}

/** @throws ConfigError if the model of the configuration does not fit the data */
export function traineeFor(
  config: TrainConfig,
  samples: Pick<Samples, 'shape' | 'space' | 'classNames'>,
  families: Families = {},
): Trainee<'denoiser'> {
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
