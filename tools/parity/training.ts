/** @file Steps of training: losses, gradients, parameters, moments and the moving average. */
import * as v from 'valibot';
import { type HostTensor, type TensorMap, tensorOf } from '../../src/core/host-tensor.ts';
import { gaussianObjective } from '../../src/diffusion/gaussian/objective.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { createModel } from '../../src/networks/registry.ts';
import type { TrainConfig } from '../../src/tasks/training/config/train-config.ts';
import { denoising } from '../../src/tasks/training/step/denoising.ts';
import { type LossFeeds, perSampleFeeds } from '../../src/tasks/training/step/learning.ts';
import { TrainState } from '../../src/tasks/training/step/train-state.ts';
import { TrainStep } from '../../src/tasks/training/step/train-step.ts';
import { type Comparison, compareNumbers } from './comparison.ts';
import { entryOf, type Fixture, readBeside, readBesideIfThere, requireTensor } from './fixture.ts';
import type { Check, CheckResult, FixtureKind } from './kind.ts';
import { specOfReference, weightsOf } from './reference-config.ts';
import { README_TOLERANCES } from './tolerance.ts';
import {
  compareGradients,
  compareParameters,
  parseTrainingTolerance,
  type TrainingTolerance,
} from './training-tolerance.ts';

const schema = v.object({
  model: v.picklist(['U-DiT', 'DiT']),
  config: v.looseObject({}),
  steps: v.number(),
  optimizer: v.object({
    name: v.literal('AdamW'),
    lr: v.number(),
    weight_decay: v.number(),
    betas: v.tuple([v.number(), v.number()]),
    eps: v.number(),
  }),
  ema_decay: v.number(),
  losses: v.array(v.number()),
  tolerance: v.optional(v.string(), README_TOLERANCES.training),
});
type Json = v.InferOutput<typeof schema>;

export const training: FixtureKind = {
  name: 'training',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkTraining(fixture, parsed.output) : undefined;
  },
};

function checkTraining(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const tolerance = parseTrainingTolerance(json.tolerance);
    const batches = await readBeside(fixture, 'batches.safetensors');
    const { state, trainStep } = await startRun(fixture, json, batches, backend);
    const comparisons: Comparison[] = [];
    for (let step = 1; step <= json.steps; step++) {
      const { loss } = await trainStep.run(step, feedsOf(batches, step - 1));
      const relative = tolerance.lossAt(step, json.steps);
      comparisons.push(compareNumbers(`loss ${step}`, [loss], [json.losses[step - 1]!], { relative }));
      if (step === 1) {
        const recorded = await readBeside(fixture, 'grads_step1.safetensors');
        const gradients = state.layout.views(state.buffers.gradients);
        comparisons.push(...compareGradients('gradient', gradients, recorded, tolerance));
      }
    }
    await trainStep.release();
    const final = await compareState(fixture, json.steps, state, tolerance);
    return { ...final, comparisons: [...comparisons, ...final.comparisons] };
  };
}

/** The state after the last step. A subset of fixtures may leave files out. */
async function compareState(
  fixture: Fixture,
  steps: number,
  { layout, buffers }: TrainState,
  tolerance: TrainingTolerance,
): Promise<CheckResult> {
  const file = (role: string) => readBesideIfThere(fixture, `${role}_step${steps}.safetensors`);
  const [parameters, ema, moments] = await Promise.all(['params', 'ema', 'adam'].map(file));
  const comparisons: Comparison[] = [];
  if (parameters) {
    comparisons.push(
      compareParameters('parameters', layout.views(buffers.parameters), parameters, tolerance),
    );
  }
  if (ema) {
    const average = layout.views(buffers.averages.get('ema')!);
    comparisons.push(compareParameters('ema', average, ema, tolerance));
  }
  if (moments) {
    const [first, second] = [momentsOf(moments, '.exp_avg'), momentsOf(moments, '.exp_avg_sq')];
    const ours = (slot: string) => layout.views(buffers.slots.get(slot)!);
    comparisons.push(...compareGradients('exp_avg', ours('exp_avg'), first, tolerance));
    comparisons.push(...compareGradients('exp_avg_sq', ours('exp_avg_sq'), second, tolerance, first));
  }
  const absent = Object.entries({ parameters, ema, moments }).filter(([, tensors]) => tensors === undefined);
  return { comparisons, notCompared: absent.map(([name]) => `${name} (no such file)`) };
}

/** One of the two moments, by parameter. */
function momentsOf(moments: TensorMap, ending: string): TensorMap {
  const those = [...moments].filter(([name]) => name.endsWith(ending));
  return new Map(those.map(([name, value]) => [name.slice(0, -ending.length), value]));
}

/** The training step of `udit train`, set to the recorded initial parameters. */
async function startRun(
  fixture: Fixture,
  { config: reference, optimizer, ema_decay, steps }: Json,
  batches: TensorMap,
  backend: Backend,
): Promise<{ readonly state: TrainState; readonly trainStep: TrainStep }> {
  const model = createModel(specOfReference(reference, fixture.name));
  const initial = weightsOf(model, await readBeside(fixture, 'init.safetensors'), 'init.safetensors');
  const config: Pick<TrainConfig, 'optimizer' | 'averages' | 'training'> = {
    optimizer: {
      kind: 'adamw',
      learningRate: optimizer.lr,
      schedule: 'constant',
      warmupSteps: 0,
      weightDecay: optimizer.weight_decay,
      beta1: optimizer.betas[0],
      beta2: optimizer.betas[1],
      eps: optimizer.eps,
      clipNorm: null,
    },
    averages: [{ name: 'ema', kind: 'exponential', decay: ema_decay, warmup: false }],
    training: {
      steps,
      batchSize: requireTensor(batches, 'y', fixture.name).shape[1]!,
      microBatch: null,
      shards: 1,
      recompute: false,
      initFrom: null,
      seed: 0,
    },
  };
  const state = TrainState.initial(model, 0, config);
  for (const buffer of [state.buffers.parameters, ...state.buffers.averages.values()]) {
    state.layout.fill(buffer, initial);
  }
  const objective = gaussianObjective({
    variance: model.config.learnSigma ? 'learned-range' : 'fixed-large',
  });
  const trainStep = await TrainStep.compile(denoising(model, objective), state, config, backend);
  return { state, trainStep };
}

/** Batch number `index`, from 0, with its recorded times, noise and hidden classes. */
function feedsOf(batches: TensorMap, index: number): LossFeeds {
  const entry = (name: string): HostTensor =>
    entryOf(requireTensor(batches, name, 'batches.safetensors'), index);
  const drops = entry('drop_ids');
  const feeds = perSampleFeeds({ x0: entry('x'), y: entry('y'), noise: entry('noise'), t: entry('t') });
  const dropped = tensorOf('bool', drops.shape, Array.from(drops.data, Number));
  return feeds.set('dropped', { tensor: dropped, sampleAxis: 1 });
}
