/** @file A page and its worker, here the two ends of a channel; test/browser.test.ts has them in a browser. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tinyCard, tinyCheckpointBytes } from '../../test/support/tiny-checkpoint.ts';
import { hostTensor } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { sizeOf } from '../core/shape.ts';
import { wasmBackend } from '../engine/runtime/wasm-web.ts';
import { openModel } from '../models/open-bytes.ts';
import { createSampler } from '../tasks/sampling/sample.ts';
import { openSampler, type WorkerLike } from './open-sampler.ts';
import { serveSampler, type WorkerScope } from './serve-sampler.ts';

const bytes = tinyCheckpointBytes(tinyCard());
const options = { model: bytes, steps: 2 };
const request = { labels: [0, 1, 2], seed: 5 };

let channel: MessageChannel;
let page: WorkerLike;
beforeEach(() => {
  channel = new MessageChannel();
  page = channel.port1 as unknown as WorkerLike;
  serveSampler(channel.port2 as unknown as WorkerScope);
});
afterEach(() => channel.port1.close());

test('draws what the same sampler draws without a worker', async () => {
  const sampler = await openSampler(page, options);
  const steps: number[] = [];
  const images = await sampler.generate({ ...request, onStep: ({ step }) => steps.push(step) });
  const direct = await createSampler(await openModel(bytes), { backend: wasmBackend, steps: 2 });
  expect(images).toEqual(await direct.generate(request));
  expect(steps).toEqual([1, 2, 1, 2, 1, 2]);
  expect(sampler).toMatchObject({ device: 'wasm', settings: { steps: 2 } });
  await sampler.release();
  await direct.release();
});

test('noise, the picture to begin with and the way to another picture reach the worker', async () => {
  const both = { ...options, strength: 0.8, mixesClasses: true };
  const sampler = await openSampler(page, both);
  const { model: _, ...settings } = both;
  const direct = await createSampler(await openModel(bytes), { ...settings, backend: wasmBackend });
  const [count, shape] = [request.labels.length, direct.imageShape];
  const noise = hostTensor('f32', [count, ...shape], normal(randomKey(1), count * sizeOf(shape)));
  const init = { image: hostTensor('f32', shape, normal(randomKey(2), sizeOf(shape))) };
  const towards = { labels: [1, 2, 0], seed: 6, weights: [0, 0.5, 1] };
  const plain = await direct.generate({ ...request, init });
  for (const more of [{ noise }, { towards }]) {
    const images = await sampler.generate({ ...request, init, ...more });
    expect(images).toEqual(await direct.generate({ ...request, init, ...more }));
    expect(images).not.toEqual(plain);
  }
  await sampler.release();
  await direct.release();
});

test('an error keeps its class, its facts and its fix', async () => {
  await expect(openSampler(page, { ...options, steps: 0 })).rejects.toMatchObject({
    name: 'ConfigError',
    fix: expect.stringMatching(/./),
  });
  const sampler = await openSampler(page, options);
  await expect(sampler.generate({ labels: [99], seed: 0 })).rejects.toThrow(/there is no class 99/);
  expect((await sampler.generate(request)).shape[0]).toBe(3);
  await sampler.release();
});

test('a drawing that is given up stops, and another one can begin', async () => {
  const sampler = await openSampler(page, options);
  const controller = new AbortController();
  const reason = new Error('enough');
  const onStep = (): void => controller.abort(reason);
  await expect(sampler.generate({ ...request, signal: controller.signal, onStep })).rejects.toBe(reason);
  for await (const { first } of sampler.batches(request)) {
    expect(first).toBe(0);
    break;
  }
  expect((await sampler.generate(request)).shape[0]).toBe(3);
  await sampler.release();
});
