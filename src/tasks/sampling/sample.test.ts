import { afterAll, describe, expect, test } from 'vitest';
import { OnePicturePerClass, pictureValue, pictureWeights } from '../../../test/support/analytic-denoiser.ts';
import { expectClose } from '../../../test/support/closeness.ts';
import { countingBackend } from '../../../test/support/counting-backend.ts';
import { turnsDuring } from '../../../test/support/loop-turns.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { randomKey } from '../../core/random.ts';
import { FLOW_PATHS, levelAt } from '../../diffusion/flow/path.ts';
import { dpmSolverWeights } from '../../diffusion/solvers/dpm-solver.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { wasmBackend } from '../../engine/runtime/wasm-web.ts';
import { DiT, FULL_ATTENTION } from '../../networks/denoisers/dit.ts';
import { initialise, normalWith } from '../../networks/nn/initialise.ts';
import { imageKey, imageNoise } from './image-noise.ts';
import {
  createSampler,
  type ImageSampler,
  type SampledModel,
  type SamplerOptions,
  type StepProgress,
} from './sample.ts';

const CLASSES = 3;
const flow: SampledModel = {
  network: new OnePicturePerClass(CLASSES),
  weights: pictureWeights(CLASSES),
  card: { objective: { kind: 'flow' } },
};

/** Random weights throughout: with the initial ones the model would predict zeros. */
function randomDiT(learnSigma: boolean, inChannels = 3): Pick<SampledModel, 'network' | 'weights'> {
  const network = new DiT({
    ...{ inputSize: 8, inChannels, numClasses: CLASSES, learnSigma, classDropoutProb: 0.1 },
    ...{ patchSize: 2, width: 8, heads: 2, depth: 1, mlpRatio: 4, discardSigma: false },
    ...FULL_ATTENTION,
  });
  return { network, weights: initialise(network, () => normalWith(0.2), randomKey(1)) };
}
const flowDiT: SampledModel = {
  ...randomDiT(false),
  card: { objective: { kind: 'flow', timeScale: 1000 } },
};
const gaussianDiT: SampledModel = { ...randomDiT(true), card: { objective: { kind: 'gaussian' } } };

const opened: ImageSampler[] = [];
async function openSampler(
  saved: SampledModel,
  options: Partial<SamplerOptions> = {},
): Promise<ImageSampler> {
  const sampler = await createSampler(saved, { backend: cpuBackend, workers: 1, ...options });
  opened.push(sampler);
  return sampler;
}
afterAll(async () => {
  for (const sampler of opened) await sampler.release();
});

const imageOf = ({ data, shape }: HostTensor<'f32'>, i: number): Float32Array => {
  const size = data.length / shape[0]!;
  return data.slice(i * size, (i + 1) * size);
};

describe('closed forms', () => {
  test('every image is its own class, in whole and in partial batches', async () => {
    const sampler = await openSampler(flow, { sampler: 'euler', steps: 4, cfgScale: 1, batchSize: 2 });
    const labels = [2, 0, 1, 1, 2];
    const images = await sampler.generate({ labels, seed: 0 });
    expect(images.shape).toEqual([5, 3, 2, 2]);
    const expected = labels.flatMap((label) => Array.from({ length: 12 }, (_, k) => pictureValue(label, k)));
    expectClose(images.data, expected, { relative: 1e-6 });
  });

  test('guidance goes beyond the class, away from no class', async () => {
    const sampler = await openSampler(flow, { sampler: 'euler', steps: 4, cfgScale: 2.5, batchSize: 3 });
    const images = await sampler.generate({ labels: [0, 1, 2], seed: 0 });
    const expected = [0, 1, 2].flatMap((label) =>
      Array.from({ length: 12 }, (_, k) => {
        const unconditional = pictureValue(CLASSES, k);
        return unconditional + 2.5 * (pictureValue(label, k) - unconditional);
      }),
    );
    expectClose(images.data, expected, { relative: 1e-6 });
  });

  test('guidance in an interval of times acts there alone', async () => {
    const sampler = await openSampler(flow, {
      ...{ sampler: 'dpm++2m', shift: 1, steps: 5, batchSize: 2 },
      ...{ cfgScale: 2.5, cfgInterval: [0.2, 0.6] },
    });
    // What the model sees in the images is one picture, whatever they are; guidance changes which.
    const seen: number[] = [];
    await sampler.generate({ labels: [1, 1], seed: 0, onStep: ({ x0 }) => seen.push(x0.data[5]!) });
    expect(sampler.networkRuns).toBe(2 + 3 * 2);
    const [plain, without] = [pictureValue(1, 5), pictureValue(CLASSES, 5)];
    const beyond = without + 2.5 * (plain - without);
    expectClose(seen, [plain, beyond, beyond, beyond, plain], { relative: 1e-5 });
  });

  test('a multistep sampler remembers what it saw in the step before', async () => {
    // Told 1000 t, the model sees x + (d − x)(1 − t) / (1 − 1000 t) at time t, which differs from step to step.
    const stretched: SampledModel = { ...flow, card: { objective: { kind: 'flow', timeScale: 1000 } } };
    const sampler = await openSampler(stretched, {
      ...{ sampler: 'dpm++2m', shift: 1, steps: 4, cfgScale: 1, batchSize: 1 },
    });
    const noise = imageNoise([imageKey(9, 4)], [3, 2, 2], 'start');
    const images = await sampler.generate({ labels: [1], indices: [4], seed: 9 });
    const levels = [0, 0.25, 0.5, 0.75, 1].map((t) => levelAt(FLOW_PATHS.linear, t));
    const expected = Array.from(noise.data, (start, k) => {
      let [x, remembered] = [start, 0];
      for (let i = 0; i < 4; i++) {
        const { alpha: t } = levels[i]!;
        const x0 = x + ((pictureValue(1, k) - x) * (1 - t)) / (1 - 1000 * t);
        const step = { previous: levels[i - 1], from: levels[i]!, to: levels[i + 1]! };
        const weights = dpmSolverWeights(step, 0);
        x = weights.xWeight * x + weights.x0Weight * x0 + weights.previousX0Weight * remembered;
        remembered = x0;
      }
      return x;
    });
    expectClose(images.data, expected, { relative: 1e-5 });
  });

  test('it begins with the noise of the image, which two steps of a stretched time do not reach the end of', async () => {
    // Told 1000 t, the model has v(x, 0) = d − x and v(x, 1/2) = (d − x) / −499.
    const stretched: SampledModel = { ...flow, card: { objective: { kind: 'flow', timeScale: 1000 } } };
    const sampler = await openSampler(stretched, {
      sampler: 'euler',
      shift: 1,
      steps: 2,
      cfgScale: 1,
      batchSize: 1,
    });
    const noise = imageNoise([imageKey(9, 4)], [3, 2, 2], 'start');
    const images = await sampler.generate({ labels: [1], indices: [4], seed: 9 });
    const expected = Array.from(noise.data, (x, k) => {
      const data = pictureValue(1, k);
      const middle = (x + data) / 2;
      return middle - (data - middle) / 998;
    });
    expectClose(images.data, expected, { relative: 1e-6 });
  });
});

describe('an image depends on nothing but model, settings, class, seed and number', () => {
  const options = { steps: 3, cfgScale: 2 };

  test.each([
    ['flow', flowDiT, { sampler: 'heun' }],
    ['gaussian', gaussianDiT, { sampler: 'ddpm' }],
    ['flow', flowDiT, { sampler: 'dpm++2m-sde', cfgInterval: [0.3, 0.6] }],
    ['gaussian', gaussianDiT, { sampler: 'dpm++2m' }],
  ] as const)('%s: batch size and count make no difference', async (_, saved, sampler) => {
    const one = await openSampler(saved, { ...options, ...sampler, batchSize: 1 });
    const three = await openSampler(saved, { ...options, ...sampler, batchSize: 3 });
    const alone = await one.generate({ labels: [2], indices: [3], seed: 1 });
    const among = await three.generate({ labels: [0, 1, 0, 2], seed: 1 });
    expectClose(imageOf(among, 3), alone.data, { relative: 1e-4 });
    // and a different number is a different picture
    const other = await one.generate({ labels: [2], indices: [2], seed: 1 });
    expect(Math.abs(other.data[0]! - alone.data[0]!)).toBeGreaterThan(1e-3);
  });

  test('the same request gives the same bytes, another seed does not', async () => {
    const sampler = await openSampler(gaussianDiT, { ...options, batchSize: 2 });
    const [first, again, other] = [
      await sampler.generate({ labels: [0, 1], seed: 3 }),
      await sampler.generate({ labels: [0, 1], seed: 3 }),
      await sampler.generate({ labels: [0, 1], seed: 4 }),
    ];
    expect(again.data).toEqual(first.data);
    expect(other.data).not.toEqual(first.data);
  });

  // An image predicted from noise at t = 999 is the prediction's error times 1/√ᾱ = 158.
  test.each([
    ['flow', flowDiT, 1e-4],
    ['gaussian', gaussianDiT, 2e-3],
  ] as const)('%s: native code and WebAssembly agree', async (_, saved, relative) => {
    const request = { labels: [0, 2], seed: 2 };
    const native = await openSampler(saved, { ...options, batchSize: 2 });
    const wasm = await openSampler(saved, { ...options, batchSize: 2, backend: wasmBackend });
    const expected = await native.generate(request);
    expectClose((await wasm.generate(request)).data, expected.data, { relative });
  });
});

test('noise that is given is what images start from, in steps of a plan and chosen on the way', async () => {
  const request = { labels: [0, 1, 2], seed: 5 };
  const noise = imageNoise(
    request.labels.map((_, i) => imageKey(request.seed, i)),
    [3, 8, 8],
    'start',
  );
  for (const sampler of ['euler', 'dopri5'] as const) {
    const drawing = await openSampler(flowDiT, {
      sampler,
      batchSize: 2,
      ...(sampler === 'euler' && { steps: 2 }),
    });
    const usual = await drawing.generate(request);
    expect(await drawing.generate({ ...request, noise })).toEqual(usual);
    const other = { ...noise, data: noise.data.map((value) => -value) };
    expect(await drawing.generate({ ...request, noise: other })).not.toEqual(usual);
  }
});

test('noise of another shape, or that is not finite, is refused', async () => {
  const sampler = await openSampler(flow, { sampler: 'euler', steps: 1 });
  const draw = (noise: HostTensor<'f32'>) => sampler.generate({ labels: [0], seed: 0, noise });
  await expect(
    draw(tensorOf('f32', [1, 3, 2, 1], [0, 0, 0, 0, 0, 0])),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: noise: it has the shape [1,3,2,1], [1,3,2,2] is needed
      fix: give noise for each image, [images, channels, height, width]]
  `);
  await expect(
    draw(tensorOf('f32', [1, 3, 2, 2], [Number.NaN, ...new Array<number>(11).fill(0)])),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: noise: it holds NaN
      fix: give standard normal noise, such as of torch.randn]
  `);
});

test('three channels of a latent are guided, or all', async () => {
  const latents: SampledModel = { ...randomDiT(true, 4), card: { objective: { kind: 'gaussian' } } };
  const channelsOf = async (options: Partial<SamplerOptions>): Promise<Float32Array[]> => {
    const sampler = await openSampler(latents, { sampler: 'dpm++2m', steps: 1, batchSize: 1, ...options });
    const { data } = await sampler.generate({ labels: [1], seed: 0 });
    return [data.subarray(0, 3 * 64), data.subarray(3 * 64)];
  };
  const [guided, rest] = await channelsOf({ cfgScale: 4, cfgChannels: 3 });
  const [guidedOfAll, restOfAll] = await channelsOf({ cfgScale: 4, cfgChannels: 'all' });
  const [, unguidedRest] = await channelsOf({ cfgScale: 1 });
  expectClose(guided!, guidedOfAll!, { relative: 1e-5 });
  expectClose(rest!, unguidedRest!, { relative: 1e-5 });
  expect(Math.abs(rest![0]! - restOfAll![0]!)).toBeGreaterThan(0.01);
});

test('progress reports every step of every batch with the images seen so far', async () => {
  const sampler = await openSampler(flow, { sampler: 'euler', steps: 2, batchSize: 2 });
  const reports: unknown[] = [];
  await sampler.generate({
    labels: [0, 1, 2],
    seed: 0,
    onStep: ({ x0, ...progress }) => reports.push({ ...progress, shape: x0.shape }),
  });
  expect(reports).toEqual([
    { step: 1, steps: 2, share: 0.5, nfe: 1, first: 0, shape: [2, 3, 2, 2] },
    { step: 2, steps: 2, share: 1, nfe: 2, first: 0, shape: [2, 3, 2, 2] },
    { step: 1, steps: 2, share: 0.5, nfe: 1, first: 2, shape: [1, 3, 2, 2] },
    { step: 2, steps: 2, share: 1, nfe: 2, first: 2, shape: [1, 3, 2, 2] },
  ]);
});

test('aborting stops before the next step with the reason that was given', async () => {
  const sampler = await openSampler(flow, { sampler: 'euler', steps: 5, batchSize: 1 });
  const controller = new AbortController();
  const steps: number[] = [];
  const generating = sampler.generate({
    labels: [0, 1],
    seed: 0,
    signal: controller.signal,
    onStep: ({ step }) => {
      steps.push(step);
      if (step === 3) controller.abort(new Error('enough'));
    },
  });
  await expect(generating).rejects.toThrow('enough');
  expect(steps).toEqual([1, 2, 3]);
});

describe('several workers', () => {
  const settings = { steps: 3, cfgScale: 2, batchSize: 2 };
  const request = { labels: [0, 1, 2, 2, 1], seed: 4 };

  test('draw the bytes of one, with noise in every step too', async () => {
    const images: HostTensor<'f32'>[] = [];
    for (const workers of [1, 2, 3]) {
      const sampler = await openSampler(gaussianDiT, { ...settings, sampler: 'ddpm', workers });
      expect(sampler.workers).toBe(workers);
      images.push(await sampler.generate(request));
    }
    expect(images[1]).toEqual(images[0]);
    expect(images[2]).toEqual(images[0]);
  });

  test('work ahead of who takes the images, but not without end, and hand over batches in order', async () => {
    const sampler = await openSampler(flow, { ...settings, sampler: 'euler', batchSize: 1, workers: 2 });
    const firsts: number[] = [];
    const finished = new Set<number>();
    let resolve = (): void => {};
    const areFinished = new Promise<void>((settle) => {
      resolve = settle;
    });
    const onStep = ({ step, first }: { readonly step: number; readonly first: number }) => {
      expect(first - firsts.length).toBeLessThan(5);
      if (step === settings.steps && finished.add(first).size === 5) resolve();
    };
    for await (const { first } of sampler.batches({ labels: [0, 1, 2, 0, 1, 2, 0, 1], seed: 4, onStep })) {
      if (first === 0) await areFinished;
      firsts.push(first);
    }
    expect(firsts).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test('stop when they are told to, and draw again', async () => {
    const sampler = await openSampler(flow, { ...settings, sampler: 'euler', batchSize: 1, workers: 2 });
    const expected = await sampler.generate(request);
    const controller = new AbortController();
    let steps = 0;
    const aborted = sampler.generate({
      ...request,
      signal: controller.signal,
      onStep: () => {
        steps += 1;
        controller.abort(new Error('enough'));
      },
    });
    await expect(aborted).rejects.toThrow('enough');
    expect(await sampler.generate(request)).toEqual(expected);
    expect(steps).toBeLessThanOrEqual(2); // the other worker was in its first step
  });

  test('stop when nobody takes their images any more', async () => {
    const sampler = await openSampler(flow, { ...settings, sampler: 'euler', batchSize: 1, workers: 2 });
    let steps = 0;
    const labels = new Array<number>(50).fill(1);
    for await (const _ of sampler.batches({ labels, seed: 0, onStep: () => steps++ })) break;
    await sampler.generate(request);
    // A step of the other worker may be under way still.
    expect(steps).toBeLessThan(50);
  });

  test('one batch that fails is the one error of all', async () => {
    const weights = new Map([['pictures', tensorOf('f32', [4, 12], new Array(48).fill(Number.NaN))]]);
    const sampler = await openSampler({ ...flow, weights }, { ...settings, sampler: 'euler', workers: 2 });
    await expect(sampler.generate(request)).rejects.toThrow(/^NumericsError: sampling: after step 1 of 3/);
  });

  test('leave the caller free while they draw', async () => {
    const request = { labels: new Array<number>(32).fill(0), seed: 0 };
    const sampler = await openSampler(flowDiT, { ...settings, batchSize: 32, workers: 1 });
    // One that draws itself has a few turns between steps.
    expect(await turnsDuring(() => sampler.generate(request))).toBeGreaterThan(100 * settings.steps);
  });
});

describe('left open, on a machine of four cores', () => {
  const backend: Backend = { ...cpuBackend, machine: { cores: 4, freeMemory: () => 1e12 } };
  const chosen = async (options: Partial<SamplerOptions>) => {
    const sampler = await openSampler(flow, { backend, workers: undefined, steps: 1, ...options });
    const { batchSize, workers, threads } = sampler;
    return { batchSize, workers, threads };
  };

  test.each([
    ['nothing is known: a worker per core', {}, { batchSize: 1, workers: 4, threads: 1 }],
    ['few images: threads for the rest', { images: 2 }, { batchSize: 1, workers: 2, threads: 2 }],
    ['batches cut evenly', { images: 9, batchSize: 8 }, { batchSize: 5, workers: 2, threads: 2 }],
    ['some of the cores', { images: 100, cores: 2 }, { batchSize: 1, workers: 2, threads: 1 }],
    ['workers as told', { workers: 3 }, { batchSize: 1, workers: 3, threads: 1 }],
  ] as const)('%s', async (_, options, expected) => {
    expect(await chosen(options)).toEqual(expected);
  });

  test('memory for one worker only', async () => {
    const small: Backend = { ...backend, machine: { cores: 4, freeMemory: () => 1e8 } };
    expect(await chosen({ backend: small })).toEqual({ batchSize: 1, workers: 1, threads: 4 });
  });

  test('a backend that cannot be shared has one worker', async () => {
    const sampler = await openSampler(flow, {
      backend: wasmBackend,
      workers: undefined,
      images: 9,
      steps: 1,
    });
    expect([sampler.workers, sampler.threads]).toEqual([1, 1]);
  });
});

describe('release', () => {
  /** Runs of drawing that end when they are told to, and what happened in which order. */
  class SlowBackend {
    readonly log: string[] = [];
    readonly #waiting: (() => void)[] = [];
    readonly backend: Backend = {
      ...cpuBackend,
      createSession: async (model, options) => {
        const session = await cpuBackend.createSession(model, options);
        if (options.purpose !== 'inference') return session;
        return {
          run: async (feeds, fetches) => {
            await new Promise<void>((resolve) => this.#waiting.push(resolve));
            const results = await session.run(feeds, fetches);
            this.log.push('run');
            return results;
          },
          release: () => {
            this.log.push('released');
            return session.release();
          },
        };
      },
    };

    /** Until a run is under way. */
    async arrival(): Promise<void> {
      while (this.#waiting.length === 0) await new Promise(setImmediate);
    }

    /** Ends this run and all that follow it. */
    async finishAll(until: Promise<unknown>): Promise<void> {
      let isOver = false;
      const over = until.finally(() => {
        isOver = true;
      });
      while (!isOver) {
        for (const finish of this.#waiting.splice(0)) finish();
        await new Promise(setImmediate);
      }
      await over;
    }
  }
  const open = (slow: SlowBackend) =>
    createSampler(flow, { backend: slow.backend, workers: 1, sampler: 'euler', steps: 2, cfgScale: 1 });

  test('waits for images that are being drawn', async () => {
    const slow = new SlowBackend();
    const sampler = await open(slow);
    const generating = sampler.generate({ labels: [1, 2], seed: 0 });
    await slow.arrival();
    await slow.finishAll(sampler.release());
    expect(slow.log).toEqual(['run', 'run', 'run', 'run', 'released']);
    expect((await generating).shape).toEqual([2, 3, 2, 2]);
  });

  test('waits on WebAssembly too, whose sessions are in the calling thread', async () => {
    const sampler = await createSampler(flowDiT, { backend: wasmBackend, steps: 20, batchSize: 1 });
    let release: Promise<void> | undefined;
    let steps = 0;
    const onStep = (): void => {
      steps++;
      release ??= sampler.release();
    };
    expect((await sampler.generate({ labels: [0], seed: 0, onStep })).shape).toEqual([1, 3, 8, 8]);
    await release;
    expect(steps).toBe(20);
  });

  test('waits for the step of a batch that was aborted', async () => {
    const slow = new SlowBackend();
    const sampler = await open(slow);
    const controller = new AbortController();
    const generating = sampler.generate({ labels: [1, 2], seed: 0, signal: controller.signal });
    const outcome = expect(generating).rejects.toThrow('enough');
    await slow.arrival();
    controller.abort(new Error('enough'));
    await slow.finishAll(sampler.release());
    await outcome;
    expect(slow.log).toEqual(['run', 'released']);
  });

  test('waits for batches that nobody takes any more, and lets no others begin', async () => {
    const slow = new SlowBackend();
    const sampler = await open(slow);
    const batches = sampler.batches({ labels: new Array<number>(50).fill(1), seed: 0 });
    const first = batches.next();
    await slow.arrival();
    await slow.finishAll(first);
    const releasing = sampler.release();
    await slow.finishAll(releasing);
    expect(slow.log.at(-1)).toBe('released');
    expect(slow.log.length).toBeLessThan(12);
    const rest = async () => {
      for await (const _ of batches);
    };
    await expect(rest()).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler: it has been released
        fix: release it once all images are drawn, or create another]
    `);
  });
});

test('in int8 images are nearly those in f32, the same from any number of workers', async () => {
  const request = { labels: [0, 2], seed: 3 };
  const options = { sampler: 'euler', steps: 3 } as const;
  const f32 = await (await openSampler(flowDiT, options)).generate(request);
  const sampler = await openSampler(flowDiT, { ...options, precision: 'int8' });
  const int8 = await sampler.generate(request);
  expect(sampler.precision).toBe('int8');
  expect(int8.data).not.toEqual(f32.data);
  expectClose(int8.data, f32.data, { relative: 0.1 });
  const shared = await openSampler(flowDiT, { ...options, precision: 'int8', workers: 2 });
  expect(await shared.generate(request)).toEqual(int8);
});

test('the settings that were chosen can be read', async () => {
  const sampler = await openSampler(flow, { sampler: 'heun', batchSize: 1 });
  expect(sampler.settings).toEqual({ sampler: 'heun', steps: 12, shift: 3, cfgScale: 3, cfgChannels: 3 });
  expect([sampler.stepCount, sampler.nfe, sampler.networkRuns]).toEqual([12, 24, 48]);
});

describe('errors', () => {
  test('an image that is not finite', async () => {
    const weights = new Map([['pictures', tensorOf('f32', [4, 12], new Array(48).fill(Number.NaN))]]);
    const sampler = await openSampler({ ...flow, weights }, { sampler: 'euler', steps: 5 });
    await expect(sampler.generate({ labels: [0], seed: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [NumericsError: NumericsError: sampling: after step 1 of 5 an image holds NaN
        fix: the weights are damaged or their training diverged: use an earlier checkpoint]
    `);
  });

  test('a class that the model does not have', async () => {
    const sampler = await openSampler(flow, { steps: 1 });
    await expect(sampler.generate({ labels: [0, 3], seed: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling: there is no class 3: the model has 3
        fix: use labels from 0 to 2]
    `);
  });

  test('numbers of images that do not match their labels', async () => {
    const sampler = await openSampler(flow, { steps: 1 });
    await expect(
      sampler.generate({ labels: [0, 1], indices: [0], seed: 0 }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling: 1 image numbers are given for 2 labels
        fix: give one per label, or none]
    `);
  });

  test('a seed that is not a whole number', async () => {
    const sampler = await openSampler(flow, { steps: 1 });
    await expect(sampler.generate({ labels: [0], seed: 0.5 })).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling: the seed is 0.5
        fix: use a whole number from 0]
    `);
  });

  test.each([
    ['steps', {}],
    ['steps that are chosen on the way', { sampler: 'dopri5' }],
  ] as const)('to keep what it has compiled where the rest of its %s cannot be', async (_, options) => {
    const { backend, open, asked } = await countingBackend(2);
    const guided = { ...options, cfgScale: 2, cfgInterval: [0.2, 0.6] } as const;
    await expect(createSampler(flowDiT, { backend, ...guided })).rejects.toThrow('model 2 is refused');
    expect([asked(), open()]).toEqual([2, 0]);
  });

  test('workers of WebAssembly', async () => {
    await expect(createSampler(flow, { backend: wasmBackend, workers: 2 })).rejects.toThrow(
      'runtime wasm: 2 workers are requested',
    );
  });

  test.each([
    [{ stepz: 3 }, 'createSampler: there is no option stepz\n  fix: did you mean steps?'],
    [{ worker: 3 }, 'createSampler: there is no option worker\n  fix: did you mean workers?'],
    [{ sampler: 'eulr' }, 'sampling: sampler is "eulr"\n  fix: use ddpm or ddim or euler'],
    [{ steps: 2.5 }, 'sampling: steps is 2.5\n  fix: use a whole number'],
    [{ eta: 3 }, 'sampling: eta is 3\n  fix: use 1 or less'],
    [{ cfgInterval: 0.5 }, 'sampling: cfgInterval is 0.5\n  fix: use a list'],
  ])('an option that is none, or cannot have this value: %j', async (options, message) => {
    const creating = createSampler(flow, { backend: cpuBackend, ...(options as object) });
    await expect(creating).rejects.toThrow(`ConfigError: ${message}`);
  });

  test('no worker', async () => {
    await expect(
      createSampler(flow, { backend: cpuBackend, workers: 0 }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: createSampler: workers is 0
        fix: use a whole number from 1]
    `);
  });

  test('a batch of nothing', async () => {
    await expect(
      createSampler(flow, { backend: cpuBackend, batchSize: 0 }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: createSampler: batchSize is 0
        fix: use a whole number from 1]
    `);
  });
});

describe('steps chosen on the way', () => {
  test('end at the picture, with the time reached as progress', async () => {
    const sampler = await openSampler(flow, { sampler: 'dopri5', rtol: 1e-4, cfgScale: 2, batchSize: 2 });
    expect([sampler.stepCount, sampler.nfe, sampler.networkRuns]).toEqual([undefined, undefined, undefined]);
    const progress: Omit<StepProgress, 'x0'>[] = [];
    const images = await sampler.generate({
      labels: [0, 2],
      seed: 3,
      onStep: ({ x0, ...step }) => progress.push(step),
    });
    // The velocity (d − x) / (1 − t) has no value at t = 1, which a step must not reach nor leap over.
    expect(images.data.every(Number.isFinite)).toBe(true);
    const shares = progress.map(({ share }) => share);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
    expect(progress.every(({ steps }) => steps === undefined)).toBe(true);
    expect(progress.at(-1)!.nfe % 6).toBe(2);
  });
});
