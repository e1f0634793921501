import { expect, test } from 'vitest';
import { layerOf } from './config-layer.ts';
import { namedRecipe } from './recipes.ts';
import { resolveTrainConfig } from './train-config.ts';

const recipe = (preset: string) => resolveTrainConfig([layerOf('model.preset', preset)]);

test('models of the papers are trained as in the papers', () => {
  for (const preset of ['U-DiT-S', 'U-DiT-L', 'DiT-XL/2']) {
    const { objective, optimizer, averages, training } = recipe(preset);
    expect(objective).toEqual({ kind: 'gaussian' });
    expect(training).toEqual({
      ...{ steps: 400_000, batchSize: 256, microBatch: null, shards: 2, recompute: false },
      ...{ initFrom: null, seed: 0 },
    });
    expect(optimizer).toEqual({
      ...{ kind: 'adamw', learningRate: 1e-4, schedule: 'constant', warmupSteps: 0, clipNorm: null },
      ...{ weightDecay: 0, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    });
    expect(averages).toEqual([{ name: 'ema', kind: 'exponential', decay: 0.9999, warmup: false }]);
  }
});

test('SiT predicts velocities at uniform times, which reach its network as they are', () => {
  const { objective, ...rest } = recipe('SiT-XL/2');
  expect(objective).toEqual({ kind: 'flow', timeDistribution: 'uniform', timeScale: 1 });
  expect(recipe('SiT-LLaMA-S/2').objective).toEqual(objective);
  expect(rest).toEqual({ ...recipe('DiT-XL/2'), model: { preset: 'SiT-XL/2' }, objective: undefined });
});

test('the laptop model predicts velocities at logit-normal times', () => {
  const { objective, optimizer, averages } = recipe('U-DiT-XS');
  expect(objective).toMatchObject({ kind: 'flow', timeDistribution: 'logit-normal' });
  expect(optimizer).toMatchObject({ kind: 'adamw', schedule: 'cosine', clipNorm: 1 });
  expect(averages).toEqual([{ name: 'ema', kind: 'exponential', decay: 0.9995, warmup: true }]);
});

test('a recipe by its name is that of the paper, or of the laptop, for any model', () => {
  const paper = resolveTrainConfig([namedRecipe('paper', 'U-DiT-XS', {}), layerOf('training.steps', 7)]);
  const { data: _, model, training, ...rest } = recipe('U-DiT-S');
  expect(paper).toMatchObject({
    ...rest,
    model: { preset: 'U-DiT-XS', classDropoutProb: 0.1 },
    training: { ...training, steps: 7 },
  });
  expect(namedRecipe('paper', 'SiT-S/2', {}).objective).toMatchObject({ kind: 'flow', timeScale: 1 });
  const laptop = resolveTrainConfig([namedRecipe('laptop', 'U-DiT-S', {})]);
  expect(laptop.optimizer).toEqual(recipe('U-DiT-XS').optimizer);
  expect(model.preset).toBe('U-DiT-S');
});

test('another optimizer has the schedule of the recipe, and a learning rate of its own', () => {
  const { optimizer, averages } = resolveTrainConfig([layerOf('optimizer.kind', 'sgd')]);
  expect(optimizer).toEqual({
    ...{ kind: 'sgd', schedule: 'cosine', warmupSteps: 100, clipNorm: 1 },
    ...{ learningRate: 0.01, weightDecay: 0, momentum: 0.9, nesterov: false },
  });
  expect(averages).toEqual(recipe('U-DiT-XS').averages);
});

test('pictures with transparency are on white, but for models of the papers, which are given hidden colours', () => {
  const onFolder = (preset: string) =>
    resolveTrainConfig([{ model: { preset }, data: { kind: 'folder', path: 'x' } }]);
  expect(onFolder('U-DiT-XS').data).toMatchObject({ background: 'white' });
  for (const preset of ['U-DiT-S', 'DiT-XL/2', 'SiT-XL/2', 'SiT-LLaMA-S/2']) {
    expect(onFolder(preset).data).toMatchObject({ background: 'drop' });
  }
});

test('emoji may be moved about, pictures of a folder are mirrored only', () => {
  expect(recipe('U-DiT-XS').data.augment).toBe('emoji');
  expect(resolveTrainConfig([layerOf('data.path', '/photos')]).data.augment).toBe('flip');
  const chosen = resolveTrainConfig([layerOf('data.path', '/photos'), layerOf('data.augment', 'none')]);
  expect(chosen.data.augment).toBe('none');
});
