import { expect, test } from 'vitest';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import { createModel } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import { denoising } from '../step/denoising.ts';
import type { StepResult } from '../step/train-step.ts';
import { RunDecisions, type StopLimits } from './decisions.ts';
import { type LoopListener, TrainingLoop } from './training-loop.ts';

const training = tinySamples(6);
const config = tinyConfig({ training: { steps: 4 } });
const objective = createObjective(config.objective);
const learning = denoising(createModel(modelForData(config, training, objective)), objective);
const good: StepResult = { loss: 1, terms: {}, gradientNorm: 2, learningRate: 0.1 };

/** What is heard of a session that begins after `step`, where step 3 gives `third`. */
async function session(step: number, limits: StopLimits = {}, third: StepResult = good) {
  const heard: string[] = [];
  const trainStep = { run: async (number: number) => (number === 3 ? third : good) };
  const listener = (name: string): LoopListener => ({
    onBegin: async (at) => void heard.push(`${name} begins at ${at}`),
    onStep: ({ step: at }) => void heard.push(`${name} hears of ${at}`),
    onEnd: async (at) => void heard.push(`${name} ends at ${at}`),
  });
  const loop = new TrainingLoop({
    ...{ config, training, learning, trainStep, step },
    decisions: new RunDecisions(config.training.steps, limits),
    lastCheckpoint: () => 'run/checkpoints/step-0000002.safetensors',
  });
  const reached = await loop.run([listener('a'), listener('b')]).catch((error: unknown) => error);
  return { reached, heard };
}

test('all listeners hear of each moment, in their order', async () => {
  const { reached, heard } = await session(2);
  expect(reached).toBe(4);
  expect(heard).toEqual([
    ...['a begins at 2', 'b begins at 2', 'a hears of 3', 'b hears of 3', 'a hears of 4', 'b hears of 4'],
    ...['a ends at 4', 'b ends at 4'],
  ]);
});

test.each([
  ['is finished', 4, {}],
  ['has been interrupted', 1, { signal: AbortSignal.abort() }],
  ['has reached its limit', 1, { stopAfterStep: 1 }],
])('a run that %s makes no step, and begins nothing', async (_, step, limits) => {
  const { reached, heard } = await session(step, limits);
  expect(reached).toBe(step);
  expect(heard).toEqual([`a ends at ${step}`, `b ends at ${step}`]);
});

test('without time left it begins and ends', async () => {
  const { heard } = await session(1, { stopAfterMs: 0 });
  expect(heard).toEqual(['a begins at 1', 'b begins at 1', 'a ends at 1', 'b ends at 1']);
});

test('a step that is not finite is heard of by nobody, and names what to go back to', async () => {
  const { reached, heard } = await session(2, {}, { ...good, loss: Number.NaN });
  expect(reached).toMatchInlineSnapshot(`
    [NumericsError: NumericsError: training step 3: the loss is NaN, the norm of the gradient 2
      pictures              picture 3, picture 0, picture 5, picture 1
      last good checkpoint  run/checkpoints/step-0000002.safetensors
      fix: lower optimizer.learningRate or set optimizer.clipNorm, and start another run with --name]
  `);
  expect(heard).toEqual(['a begins at 2', 'b begins at 2']);
});
