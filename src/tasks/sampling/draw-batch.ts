/** @file One batch from noise to data: in the steps of a plan, or in steps that are chosen on the way. */
import { ConfigError, NumericsError } from '../../core/errors.ts';
import {
  type HostTensor,
  hostTensor,
  scalar,
  type TensorMap,
  toNumbers,
  zeros,
} from '../../core/host-tensor.ts';
import type { RandomKey } from '../../core/random.ts';
import type { Shape } from '../../core/shape.ts';
import type { AdaptivePlan, SamplingPlan } from '../../diffusion/sampling-plan.ts';
import { type NoiseLevel, PURE_DATA } from '../../diffusion/solvers/dpm-solver.ts';
import { type Slope, solveAdaptively } from '../../diffusion/solvers/ode-solver.ts';
import type { Session } from '../../engine/runtime/session.ts';
import { releasing } from '../../engine/runtime/session-scope.ts';
import { imageNoise, type KeyBetween } from './image-noise.ts';
import { type InitImage, keepKnown, noisy } from './init-image.ts';
import type { BatchMix } from './interpolation.ts';
import type { SamplingSettings } from './settings.ts';
import { guidedSteps, hasGuidedStep, isGuidedAt } from './settings.ts';
import { memoryOutput } from './step-graph.ts';

// B batch · C H W image or latent

export interface BatchInputs {
  readonly imageShape: Shape;
  /** [B]. */
  readonly labels: HostTensor<'i64'>;
  readonly keys: readonly (RandomKey | KeyBetween)[];
  /** Second classes. Default: each image is of one class. */
  readonly mix?: BatchMix | undefined;
  /** `f32[B,C,H,W]`. Default: from the keys. */
  readonly noise?: HostTensor<'f32'> | undefined;
  /** What the images begin with, under noise. Default: noise alone. */
  readonly init?: InitImage | undefined;
}

export interface BatchProgress {
  /** Steps done in this batch, from 1. */
  readonly step: number;
  /** Undefined where steps are chosen on the way. */
  readonly steps: number | undefined;
  /** How much of the way is done, up to 1: of the steps, or of the time where their number is not known. */
  readonly share: number;
  /** Evaluations of the network so far. */
  readonly nfe: number;
  /** The finished images as the network sees them now, `f32[≤B,C,H,W]`. */
  readonly x0: HostTensor<'f32'>;
}

/** Undefined where steps are chosen on the way. */
export interface DrawingCost {
  /** Steps from noise to image. */
  readonly stepCount: number | undefined;
  /** Evaluations of the network per image, not counting guidance twice. */
  readonly nfe: number | undefined;
  /** Runs of the network per image: with guidance, two for each evaluation. */
  readonly networkRuns: number | undefined;
}

/** @returns the finished images, `f32[B,C,H,W]` */
export type DrawBatch = (
  inputs: BatchInputs,
  signal: AbortSignal | undefined,
  onStep: (progress: BatchProgress) => void,
) => Promise<HostTensor<'f32'>>;

export interface CompiledDrawing extends DrawingCost {
  readonly draw: DrawBatch;
  readonly sessions: readonly Session[];
}

/** The noise level at a step's time. */
type LevelAt = (time: number) => NoiseLevel;

/** Compiles a step with or without guidance. */
type CompileStep = (guided: boolean) => Promise<Session>;

/** A session for each kind of step. */
function compileEach(kinds: Iterable<boolean>, compile: CompileStep): Promise<Map<boolean, Session>> {
  return releasing(async ({ open }) => {
    const sessions = new Map<boolean, Session>();
    for (const guided of kinds) sessions.set(guided, await open(compile(guided)));
    return sessions;
  });
}

export async function compileSteps(
  plan: SamplingPlan,
  settings: SamplingSettings,
  levelAt: LevelAt,
  compile: CompileStep,
): Promise<CompiledDrawing> {
  const isGuided = guidedSteps(plan, settings);
  const sessions = await compileEach(new Set(isGuided), compile);
  const stepCount = plan.steps.length;
  const levels = plan.steps.map((feeds) => levelAt(toNumbers(feeds.get('time')!)[0]!));
  const draw: DrawBatch = async (inputs, signal, onStep) => {
    const { imageShape, keys, init } = inputs;
    const start = noiseOf(inputs);
    let x = beginning(start, init, levels[0]!);
    let memory: TensorMap = new Map(plan.memory.map((name) => [name, zeros('f32', x.shape)]));
    for (const [index, planned] of plan.steps.entries()) {
      signal?.throwIfAborted();
      const feeds = new Map<string, HostTensor>([
        ...planned,
        ...memory,
        ['x', x],
        ...labelFeeds(inputs),
        ['cfgScale', scalar('f32', settings.cfgScale)],
      ]);
      if (plan.usesNoise) feeds.set('noise', imageNoise(keys, imageShape, index));
      const results = await sessions.get(isGuided[index]!)!.run(feeds);
      memory = new Map(plan.memory.map((name) => [name, results.get(memoryOutput(name))!]));
      x = results.get('next') as HostTensor<'f32'>;
      const step = index + 1;
      checkFinite(x, `after step ${step} of ${stepCount}`);
      if (init !== undefined) x = keepKnown(x, init, start, levels[step] ?? PURE_DATA);
      const share = step / stepCount;
      const x0 = results.get('x0') as HostTensor<'f32'>;
      onStep({ step, steps: stepCount, share, nfe: plan.nfe * share, x0 });
    }
    return x;
  };
  return {
    stepCount,
    nfe: plan.nfe,
    networkRuns: (plan.nfe / stepCount) * (stepCount + isGuided.filter(Boolean).length),
    draw,
    sessions: [...sessions.values()],
  };
}

/** The images of a batch share their steps, so batches of other images differ by as much as the tolerances allow. */
export async function compileAdaptive(
  plan: AdaptivePlan,
  settings: SamplingSettings,
  levelAt: LevelAt,
  compile: CompileStep,
): Promise<CompiledDrawing> {
  const { cfgInterval } = settings;
  const [from, to] = plan.interval;
  if (cfgInterval !== undefined && !hasGuidedStep(plan, settings)) {
    throw new ConfigError({
      where: 'cfg interval',
      problem: `it goes from ${cfgInterval.join(' to ')}, but the model's times go from ${from} to ${to}`,
      fix: 'widen the interval, or use cfg scale 1',
    });
  }
  const kinds = cfgInterval === undefined ? [settings.cfgScale !== 1] : [true, false];
  const sessions = await compileEach(kinds, compile);
  const draw: DrawBatch = async (inputs, signal, onStep) => {
    const { init } = inputs;
    const start = beginning(noiseOf(inputs), init, levelAt(from));
    let [step, nfe] = [0, 0];
    let seen = start;
    const slope: Slope = async ([values], time) => {
      signal?.throwIfAborted();
      nfe++;
      const results = await sessions
        .get(isGuidedAt(time, settings))!
        .run(
          new Map<string, HostTensor>([
            ['x', hostTensor('f32', start.shape, values!)],
            ['time', scalar('f32', time)],
            ...labelFeeds(inputs),
            ['cfgScale', scalar('f32', settings.cfgScale)],
          ]),
        );
      seen = results.get('x0') as HostTensor<'f32'>;
      return [results.get('slope')!.data as Float32Array];
    };
    const states = await solveAdaptively(
      slope,
      [start.data],
      plan.interval,
      plan.tolerances,
      (time, [values]) => {
        step++;
        const x0 = time === to ? hostTensor('f32', start.shape, values!) : seen;
        onStep({ step, steps: undefined, share: (time - from) / (to - from), nfe, x0 });
      },
    );
    const images = hostTensor('f32', start.shape, states.at(-1)![0]!);
    checkFinite(images, 'at the end');
    return images;
  };
  return {
    stepCount: undefined,
    nfe: undefined,
    networkRuns: undefined,
    draw,
    sessions: [...sessions.values()],
  };
}

function labelFeeds({ labels, mix }: BatchInputs): [string, HostTensor][] {
  if (mix === undefined) return [['labels', labels]];
  return [
    ['labels', labels],
    ['towards', mix.labels],
    ['weight', mix.weights],
  ];
}

function noiseOf({ noise, keys, imageShape }: BatchInputs): HostTensor<'f32'> {
  return noise ?? imageNoise(keys, imageShape, 'start');
}

/** What the first step sees. */
function beginning(
  noise: HostTensor<'f32'>,
  init: InitImage | undefined,
  level: NoiseLevel,
): HostTensor<'f32'> {
  return init === undefined ? noise : noisy(init.image, noise, level);
}

function checkFinite({ data }: HostTensor<'f32'>, when: string): void {
  const unusable = data.find((value) => !Number.isFinite(value));
  if (unusable === undefined) return;
  throw new NumericsError({
    where: 'sampling',
    problem: `${when} an image holds ${unusable}`,
    fix: 'the weights are damaged or their training diverged: use an earlier checkpoint',
  });
}
