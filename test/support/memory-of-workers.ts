/** @file Prints what a program takes that draws with so many workers (first argument), in bytes, and what one should take at most. */
import { randomKey } from '../../src/core/random.ts';
import { cpuBackend } from '../../src/engine/runtime/cpu-node.ts';
import { initialise, normalWith } from '../../src/networks/nn/initialise.ts';
import { presetSpec } from '../../src/networks/presets.ts';
import { createModel } from '../../src/networks/registry.ts';
import { createSampler } from '../../src/tasks/sampling/sample.ts';
import { workerBytes } from '../../src/tasks/sampling/worker-memory.ts';

const BATCH_SIZE = 4;
const workers = Number(process.argv[2]);
const model = createModel(presetSpec('U-DiT-XS'));
const weights = initialise(model, () => normalWith(0.02), randomKey(0));
const saved = { model, weights, card: { objective: { kind: 'flow' } } } as const;
const sampler = await createSampler(saved, {
  backend: cpuBackend,
  workers,
  batchSize: BATCH_SIZE,
  steps: 3,
});
await sampler.generate({ labels: new Array<number>(BATCH_SIZE * workers).fill(0), seed: 0 });
console.log(JSON.stringify({ taken: process.memoryUsage.rss(), limit: workerBytes(model, BATCH_SIZE) }));
await sampler.release();
