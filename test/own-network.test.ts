/** @file A denoiser that is in no table is trained, continued, drawn from and taken over like those that are. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { version } from '../src/core/version-node.ts';
import { add, reshape, transpose } from '../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../src/engine/graph/tensor.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { type Condition, Denoiser, type DenoiserConfig } from '../src/networks/denoisers/denoiser.ts';
import type { Families } from '../src/networks/family.ts';
import { LabelEmbedder, TimestepEmbedder } from '../src/networks/nn/conditioning.ts';
import { normalWith } from '../src/networks/nn/initialise.ts';
import { Conv2d } from '../src/networks/nn/layers.ts';
import { DENOISER_OPTIONS } from '../src/networks/options.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import type { ConfigLayer } from '../src/tasks/training/config/config-layer.ts';
import { resolveTrainConfig } from '../src/tasks/training/config/train-config.ts';
import type { RunObserver } from '../src/tasks/training/run/run-observer.ts';
import { planStart, planTraining, trainInFolder } from '../src/tasks/training/run/training-session.ts';
import { runUdit } from './support/run-udit.ts';
import { writePhotos } from './support/tiny-photos.ts';

class OneConvolution extends Denoiser {
  readonly config: DenoiserConfig;
  readonly labelEmbedders = 1;
  readonly initRule = () => normalWith(0.1);
  readonly stages = () => [];
  readonly convolution = new Conv2d(3, 3, 3);
  readonly time = new TimestepEmbedder(3);
  readonly label: LabelEmbedder;

  constructor(config: DenoiserConfig) {
    super();
    this.config = config;
    this.label = new LabelEmbedder(config.numClasses, 3, { hasNullLabel: false });
    this.bind();
  }

  forward(x: Tensor<'N C H W'>, { t, y }: Condition): Unlabelled {
    const condition = reshape(add(this.time.apply(t), this.label.apply(y)), [x.shape[0]!, 1, 1, 3]);
    const map = add(this.convolution.apply(transpose(x, [0, 2, 3, 1])), condition);
    return transpose(map, [0, 3, 1, 2]);
  }
}

const families: Families = {
  OneConvolution: {
    role: 'denoiser',
    options: DENOISER_OPTIONS,
    build: (config: DenoiserConfig) => new OneConvolution(config),
    presets: {
      'One-convolution': {
        ...{ inputSize: 8, inChannels: 3, numClasses: 2, learnSigma: false, classDropoutProb: 0 },
      },
    },
  },
};

let root: string;
let layers: readonly ConfigLayer[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-own-network-'));
  await writePhotos(join(root, 'photos'));
  layers = [
    { model: { preset: 'One-convolution' } },
    { data: { kind: 'folder', path: join(root, 'photos'), imageSize: 8, heldOutFraction: 0 } },
    { training: { steps: 4, batchSize: 2, shards: 1 }, logging: { sampleEvery: null, ckptEvery: 2 } },
  ];
});
afterAll(() => rm(root, { recursive: true }));

async function train(name: string, observer: RunObserver = {}, limits = {}, ...changes: ConfigLayer[]) {
  const config = resolveTrainConfig([...layers, ...changes], { families });
  const plan = await planTraining(config, { observer, families });
  const runPath = join(root, name);
  const start = await planStart(config, plan, runPath);
  const result = await trainInFolder(plan, { config, observer, runPath, threads: 1, version, ...limits });
  return { start, ...result };
}

test('a stopped run goes on, and ends with the bytes of one that was not stopped', async () => {
  const whole = await train('whole');
  expect(whole).toMatchObject({ step: 4, finished: true, start: { kind: 'random' } });
  await train('halves', {}, { stopAfterStep: 2 });
  const resumed: number[] = [];
  const halves = await train('halves', { onResume: (step) => resumed.push(step) });
  expect(resumed).toEqual([2]);
  expect(await readFile(halves.checkpoint)).toEqual(await readFile(whole.checkpoint));
});

test('its checkpoint is opened with its family, and draws', async () => {
  const { checkpoint } = await train('whole');
  const saved = await openModel(checkpoint, { families });
  expect(saved.network).toBeInstanceOf(OneConvolution);
  expect(saved.card).toMatchObject({ name: 'One-convolution', classNames: ['cats', 'dogs'], step: 4 });
  const sampler = await createSampler(saved, { backend: cpuBackend, steps: 2, cfgScale: 1 });
  const { shape, data } = await sampler.generate({ labels: [0, 1], seed: 0 });
  await sampler.release();
  expect(shape).toEqual([2, 3, 8, 8]);
  expect((data as Float32Array).every(Number.isFinite)).toBe(true);
});

test('another run begins with its weights', async () => {
  const { checkpoint } = await train('whole');
  const { start } = await train('further', {}, {}, { training: { initFrom: checkpoint } });
  expect(start).toEqual({
    kind: 'weights',
    from: `${checkpoint} (ema)`,
    takenOver: 7,
    byName: [],
    averaged: [],
    fresh: [],
  });
});

test('without its family, commands say which is missing', async () => {
  const { checkpoint } = await train('whole');
  const { code, err } = await runUdit(['sample', checkpoint, '--out', 'none'], root);
  expect(code).toBe(1);
  expect(err).toMatch(/its network is of the family "OneConvolution", which is none of U-DiT, DiT, /);
});

test('of its options only those exist that its family names', () => {
  expect(() =>
    resolveTrainConfig([...layers, { model: { width: 8 } }], { families }),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: configuration: unknown key model.width
      fix: did you mean model.preset?]
  `);
});
