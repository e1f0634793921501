/** @file Scores of samples during a training. */
import { ConfigError } from '../core/errors.ts';
import { createObjective } from '../diffusion/objectives.ts';
import { planSampling } from '../diffusion/samplers.ts';
import { WITHOUT_NETWORK } from '../tasks/evaluation/scores.ts';
import {
  type TrainingScores,
  type TrainingScoresOptions,
  trainingScores,
} from '../tasks/evaluation/training-scores-node.ts';
import { chooseSettings } from '../tasks/sampling/settings.ts';
import { modelOfConfig } from '../tasks/training/config/model-for-data.ts';
import {
  type RunConfig,
  type TrainConfig,
  trainsAutoencoder,
} from '../tasks/training/config/train-config.ts';
import type { TrainingPlan } from '../tasks/training/run/training-session.ts';
import { DEFAULT_EXTRACTOR, openExtractor } from './extractor.ts';

/** What scores the samples of a denoiser, where the configuration asks for scores. */
export async function openTrainingScores(
  config: RunConfig,
  { data: { training } }: Pick<TrainingPlan, 'data'>,
  computing: Pick<TrainingScoresOptions, 'backend' | 'threads' | 'signal' | 'decoding'>,
): Promise<TrainingScores | undefined> {
  const {
    scores: metrics,
    scoreSamples: count,
    scoreSampling: sampling,
    scoreReference: reference,
  } = config.logging;
  if (metrics.length === 0) return undefined;
  if (trainsAutoencoder(config)) {
    throw new ConfigError({
      where: '--evaluate-with',
      problem: 'an autoencoder draws no samples',
      fix: 'leave it out: the held-out loss tells how pictures come back',
    });
  }
  expectSampling(config);
  const needsNetwork = metrics.some((metric) => !WITHOUT_NETWORK.includes(metric));
  const extractor = needsNetwork ? await openExtractor(DEFAULT_EXTRACTOR) : undefined;
  const { seed } = config.training;
  return trainingScores({
    ...computing,
    data: training,
    metrics,
    count,
    seed,
    sampling,
    extractor,
    reference,
  });
}

/** @throws ConfigError for settings of sampling that the objective or the model does not have, before any step is trained */
function expectSampling(config: TrainConfig): void {
  const learned = createObjective(config.objective);
  const { config: model } = modelOfConfig(config);
  const settings = chooseSettings(learned.kind, model, config.logging.scoreSampling);
  planSampling(learned, settings.sampler, settings);
}
