/**
 * @file What a worker that draws takes from the system, and what `workerBytes` says of it: one program draws with one
 * worker, another with three. On Linux; the machine should have memory to spare.
 *
 *     npx tsx bench/worker-memory.ts [preset] [batch size]
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { randomKey } from '../src/core/random.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { initialise, normalWith } from '../src/networks/nn/initialise.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import { workerBytes } from '../src/tasks/sampling/worker-memory.ts';

const [preset = 'U-DiT-XS', batchSize = '4', workers] = process.argv.slice(2);
const model = createModel(presetSpec(preset));

async function drawWith(count: number): Promise<void> {
  const weights = initialise(model, () => normalWith(0.02), randomKey(0));
  const saved = { network: model, weights, card: { objective: { kind: 'flow' } } } as const;
  const options = { backend: cpuBackend, workers: count, batchSize: Number(batchSize), steps: 3 };
  const sampler = await createSampler(saved, options);
  const labels = new Array<number>(Number(batchSize) * count).fill(0);
  await sampler.generate({ labels, seed: 0 });
  console.log(process.memoryUsage.rss());
  await sampler.release();
}

function bytesWith(count: number): number {
  const program = fileURLToPath(import.meta.url);
  const args = ['--import', 'tsx', program, preset, batchSize, String(count)];
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

if (workers === undefined) {
  const taken = (bytesWith(3) - bytesWith(1)) / 2;
  const said = workerBytes(model, Number(batchSize));
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  console.log(`a worker takes ${megabytes(taken)}, at most ${megabytes(said)} as it is said`);
} else await drawWith(Number(workers));
