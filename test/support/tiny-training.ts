/** @file A training that takes milliseconds per step: a tiny U-DiT on a few random pictures. */
import { fold, normal, randomKey } from '../../src/core/random.ts';
import type { Samples } from '../../src/data/datasets/samples.ts';
import type { ConfigLayer } from '../../src/tasks/training/config/config-layer.ts';
import { resolveTrainConfig, type TrainConfig } from '../../src/tasks/training/config/train-config.ts';

/** A DiT that compiles in no time, and small batches. */
export const TINY_DIT_FLAGS: readonly string[] = [
  ...['--model', 'DiT-S/2', '--set', 'model.width=8', '--set', 'model.heads=2', '--set', 'model.depth=1'],
  ...['--global-batch-size', '4', '--set', 'data.heldOutFraction=0.3'],
  ...['--set', 'training.shards=1', '--threads', '1'],
];

/** A training for the command line: 20 steps of this DiT, on pictures of 8×8. */
export const TINY_TRAINING_FLAGS: readonly string[] = [
  ...TINY_DIT_FLAGS,
  ...[
    '--set',
    'objective.kind=flow',
    '--set',
    'optimizer.schedule=cosine',
    '--set',
    'optimizer.emaWarmup=true',
  ],
  ...['--image-size', '8', '--steps', '20', '--lr', '0.01'],
  // Or each session would draw one where it ends.
  ...['--set', 'logging.sampleEvery=null'],
];

/** Flags that make of it the training of a U-DiT, whose batches are worked on in two threads. */
export const TINY_UDIT_FLAGS: readonly string[] = [
  ...['--model', 'U-DiT-XS', '--set', 'model.depth=[1,1,1,1,1]', '--set', 'model.downFactor=[2,2,1,2,2]'],
  ...['--set', 'training.shards=2', '--threads', '2', '--set', 'logging.evaluateEvery=null'],
];

/** The configuration of the tiny model, over a recipe. */
export const TINY_LAYERS: readonly ConfigLayer[] = [
  { model: { preset: 'U-DiT-XS', width: 8, heads: 2, depth: [1, 1, 1, 1, 1], downFactor: [2, 2, 1, 2, 2] } },
  { data: { path: '/pictures', imageSize: 8 } },
  { training: { steps: 20, batchSize: 4 }, logging: { sampleEvery: null } },
];

/** The same of a DiT, which compiles in a fraction of the time. */
export const TINY_DIT_LAYERS: readonly ConfigLayer[] = [
  { model: { preset: 'DiT-S/2', width: 8, heads: 2, depth: 1 }, objective: { kind: 'flow' } },
  ...TINY_LAYERS.slice(1),
];

/** A configuration for the tiny model, with `changes` laid over it. */
export function tinyConfig(...changes: readonly ConfigLayer[]): TrainConfig {
  return resolveTrainConfig([...TINY_LAYERS, ...changes]);
}

/** Pictures of noise in two classes by turns; read as they are, whatever the key. */
export function tinySamples(length = 10, imageSize = 8): Samples {
  const channels = 3;
  const pictures = Array.from({ length }, (_, index) =>
    normal(fold(randomKey(0), 'picture', index), channels * imageSize ** 2),
  );
  return {
    name: 'tiny',
    classNames: ['even', 'odd'],
    shape: [channels, imageSize, imageSize],
    space: { kind: 'pixels' },
    length,
    labels: Int32Array.from({ length }, (_, index) => index % 2),
    sampleNames: pictures.map((_, index) => `picture ${index}`),
    read: (index, _key, out) => out.set(pictures[index]!),
  };
}
