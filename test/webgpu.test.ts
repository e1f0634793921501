/**
 * WebGPU in Node against the CPU, with no operation left to the CPU. Runs where there is a Vulkan driver, if need be one
 * in software, which takes seconds to compile each kernel: models are tiny, and as few as cover the operations.
 */
import { describe, expect, test } from 'vitest';
import { type HostTensor, hostTensor, tensorOf } from '../src/core/host-tensor.ts';
import { normal, randomKey } from '../src/core/random.ts';
import { createObjective } from '../src/diffusion/objectives.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { compileTraining } from '../src/engine/compile/training.ts';
import { graphOf } from '../src/engine/graph/graph.ts';
import { cast, cos, exp, input, sin } from '../src/engine/graph/operators.ts';
import { withScope } from '../src/engine/graph/tensor.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { webgpuBackend } from '../src/engine/runtime/gpu-node.ts';
import type { Backend } from '../src/engine/runtime/session.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { traceNetwork } from '../src/networks/trace.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import { denoising } from '../src/tasks/training/step/denoising.ts';
import { LossGradients } from '../src/tasks/training/step/loss-gradients.ts';
import { TrainState } from '../src/tasks/training/step/train-state.ts';
import { expectClose } from './support/closeness.ts';
import { randomWeights, tinySpec } from './support/tiny-checkpoint.ts';
import { tinyConfig } from './support/tiny-training.ts';
import { findVulkanDriver } from './support/vulkan.ts';

/** Of a whole network; an operation alone agrees to 2e-6. Measured: at most 6e-6. */
const TOLERANCE = { relative: 2e-5 };

const obstacle = await findVulkanDriver();
if (obstacle !== undefined) console.log(`WebGPU is not tested: ${obstacle}`);

const dit = presetSpec('DiT-S/2', { inputSize: 8, width: 16, heads: 2, depth: 1, numClasses: 3 });

describe.skipIf(obstacle !== undefined)('WebGPU', () => {
  test('a U-DiT sees what it sees on the CPU', async () => {
    const spec = tinySpec({ depth: [1, 0, 0, 0, 0] });
    const model = createModel(spec);
    const graph = graphOf({ out: traceNetwork(model, { batch: 2 }).outputs.prediction });
    const feeds = new Map<string, HostTensor>([
      ['x', hostTensor('f32', [2, 3, 8, 8], normal(randomKey(1), 2 * 3 * 64))],
      ['t', tensorOf('f32', [2], [3, 997])],
      ['y', tensorOf('i64', [2], [0, 3])],
    ]);
    const outputOn = async (backend: Backend) => {
      const session = await compileInference(graph, randomWeights(spec, 1), backend);
      const { data } = (await session.run(feeds)).get('out') as HostTensor<'f32'>;
      await session.release();
      return data;
    };
    expectClose(await outputOn(webgpuBackend), await outputOn(cpuBackend), TOLERANCE);
  });

  test('guided steps of a DiT draw what they draw on the CPU', async () => {
    const saved = {
      network: createModel(dit),
      weights: randomWeights(dit, 1),
      card: { objective: { kind: 'gaussian' } },
    } as const;
    const drawnOn = async (backend: Backend) => {
      const sampler = await createSampler(saved, { backend, batchSize: 2, steps: 2, cfgScale: 2 });
      const { data } = await sampler.generate({ labels: [0, 2], seed: 0 });
      await sampler.release();
      return data;
    };
    expectClose(await drawnOn(webgpuBackend), await drawnOn(cpuBackend), TOLERANCE);
  });

  test('gradients of a DiT are those of the CPU', async () => {
    const model = createModel(dit);
    const learning = denoising(model, createObjective({ kind: 'gaussian' }));
    const batch = {
      x: hostTensor('f32', [2, 4, 8, 8], normal(randomKey(1), 2 * 4 * 64)),
      y: tensorOf('i64', [2], [1, 2]),
    };
    const feeds = learning.feedsOf(randomKey(2), 1, batch);
    const gradientsOn = async (backend: Backend) => {
      const state = TrainState.initial(model, 0, tinyConfig());
      const parameters = randomWeights(dit, 1);
      state.layout.fill(state.buffers.parameters, parameters);
      const { gradients } = state.buffers;
      const cut = { batchSize: 2, microBatch: 2, shards: 1, recompute: false };
      const options = { ...cut, backend, session: {} };
      const compiled = await LossGradients.compile(learning, state.layout, gradients, options);
      await compiled.run(state.weights('model'), feeds);
      await compiled.release();
      return gradients;
    };
    expectClose(await gradientsOn(webgpuBackend), await gradientsOn(cpuBackend), TOLERANCE);
  });

  test('sine and cosine hold for angles far beyond a turn', async () => {
    const angles = Float32Array.from({ length: 200 }, (_, i) => i * 5 - 3.3);
    const x = input('x', [angles.length]);
    const session = await compileTraining(graphOf({ sin: sin(x), cos: cos(x) }), webgpuBackend);
    const results = await session.run(new Map([['x', hostTensor('f32', [angles.length], angles)]]));
    await session.release();
    for (const name of ['sin', 'cos'] as const) {
      expectClose(results.get(name)!.data as Float32Array, Array.from(angles, Math[name]), {
        relative: 3e-7,
      });
    }
  });

  test('what it has no kernel for is named, not computed elsewhere', async () => {
    const wide = withScope('network', () => exp(cast(input('x', [3]), 'f64')));
    const y = sin(cast(wide, 'f32'));
    await expect(compileTraining(graphOf({ y }), webgpuBackend)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: runtime webgpu: it has no kernels for 3 of the operations in this graph
        cast  f64[3] of f32[3], as in network
        exp   f64[3] of f64[3], as in network
        cast  f32[3] of f64[3]
        fix: run it on the CPU]
    `);
  });

  test('it has one worker', async () => {
    await expect(
      compileTraining(graphOf({ y: sin(input('x', [3])) }), webgpuBackend, { workers: 2 }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: runtime webgpu: 2 workers are requested, but it has one: the calling thread
        fix: use 1 worker]
    `);
  });
});
