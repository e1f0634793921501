/** @file Samplers in few and odd numbers of steps: images as float64 loops around the same small DiT have them. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { Difference } from '../src/core/difference.ts';
import { type HostTensor, hostTensor, scalar, zeros } from '../src/core/host-tensor.ts';
import { sizeOf } from '../src/core/shape.ts';
import { createObjective } from '../src/diffusion/objectives.ts';
import { planSampling } from '../src/diffusion/samplers.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { bytesInMemory } from '../src/formats/byte-source.ts';
import { parseNpz } from '../src/formats/npz.ts';
import { openTensors } from '../src/formats/open.ts';
import { loadNetwork } from '../src/models/open-model.ts';
import { buildStepGraph, memoryOutput } from '../src/tasks/sampling/step-graph.ts';

const fixture = async (name: string) =>
  new Uint8Array(await readFile(new URL(`fixtures/cases/${name}`, import.meta.url)));
const recorded = parseNpz(await fixture('few-steps.npz'), 'few-steps') as ReadonlyMap<
  string,
  HostTensor<'f32'>
>;

test.each([
  { name: 'ddpm', options: { steps: 3 }, expected: 'ddpm3' },
  { name: 'ddim', options: { steps: 3, eta: 0.6 }, expected: 'ddim3_eta06' },
  { name: 'dpm++2m', options: { steps: 7 }, expected: 'dpmpp2m_7' },
] as const)('$name, $options', async ({ name, options, expected }) => {
  const saved = loadNetwork(await openTensors(bytesInMemory(await fixture('weights.safetensors')), 'x'), 'x');
  const { network, weights, card } = await saved;
  const plan = planSampling(createObjective(card.objective), name, { ...options, clip: false });
  const graph = buildStepGraph(network, plan, { cfgScale: 2.5, cfgChannels: 3 }, 1);
  const session = await compileInference(graph, weights, cpuBackend, { threads: 1 });
  const stepNoise = recorded.get('stepNoise')!;
  let x = recorded.get('noise')!;
  const size = sizeOf(x.shape);
  let memory = plan.memory.map((key): [string, HostTensor] => [key, zeros('f32', x.shape)]);
  for (const [i, fed] of plan.steps.entries()) {
    const feeds = new Map<string, HostTensor>([
      ...fed,
      ...memory,
      ['x', x],
      ['cfgScale', scalar('f32', 2.5)],
    ]);
    feeds.set('labels', recorded.get('labels')!);
    const noise = stepNoise.data.slice(i * size, (i + 1) * size);
    if (plan.usesNoise) feeds.set('noise', hostTensor('f32', x.shape, noise));
    const results = await session.run(feeds);
    x = results.get('next') as HostTensor<'f32'>;
    memory = plan.memory.map((key) => [key, results.get(memoryOutput(key))!]);
  }
  await session.release();
  const difference = new Difference();
  difference.add(new Map([['images', x]]), new Map([['images', recorded.get(expected)!]]));
  expect(difference.relativeL2).toBeLessThan(1e-5);
});
