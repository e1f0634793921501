/** @file Scores of samples during a training. */
import { ConfigError } from '../core/errors.ts';
import { WITHOUT_NETWORK } from '../tasks/evaluation/scores.ts';
import {
  type TrainingScores,
  type TrainingScoresOptions,
  trainingScores,
} from '../tasks/evaluation/training-scores-node.ts';
import { type RunConfig, trainsAutoencoder } from '../tasks/training/config/train-config.ts';
import type { TrainingPlan } from '../tasks/training/run/training-session.ts';
import { DEFAULT_EXTRACTOR, openExtractor } from './extractor.ts';

/** What scores the samples of a denoiser, where the configuration asks for scores. */
export async function openTrainingScores(
  config: RunConfig,
  { data: { training } }: Pick<TrainingPlan, 'data'>,
  computing: Pick<TrainingScoresOptions, 'backend' | 'threads' | 'signal' | 'decoding'>,
): Promise<TrainingScores | undefined> {
  const { scores: metrics, scoreSamples: count, scoreReference: reference } = config.logging;
  if (metrics.length === 0) return undefined;
  if (trainsAutoencoder(config)) {
    throw new ConfigError({
      where: '--evaluate-with',
      problem: 'an autoencoder draws no samples',
      fix: 'leave it out: the held-out loss tells how pictures come back',
    });
  }
  const needsNetwork = metrics.some((metric) => !WITHOUT_NETWORK.includes(metric));
  const extractor = needsNetwork ? await openExtractor(DEFAULT_EXTRACTOR) : undefined;
  const { seed } = config.training;
  return trainingScores({ ...computing, data: training, metrics, count, seed, extractor, reference });
}
