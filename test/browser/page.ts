/** @file Draws in a worker, and tells the server that served it what came of it. */
import { openSampler, type WorkerSamplerOptions } from '../../src/web/index.ts';

export interface PageReport {
  readonly isIsolated: boolean;
  readonly device: string;
  readonly values: readonly number[];
  /** Threads that compute beside the worker's own. */
  readonly threads: number;
  /** Turns that the page's own loop had while the worker drew. */
  readonly turns: number;
}

async function draw(): Promise<PageReport> {
  const options = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Omit<
    WorkerSamplerOptions,
    'model'
  >;
  let threads = 0;
  new BroadcastChannel('threads').onmessage = () => threads++;
  const worker = new Worker(new URL('./sampling.ts', import.meta.url), { type: 'module' });
  const sampler = await openSampler(worker, { ...options, model: '/model.safetensors' });
  let isDrawing = true;
  let turns = 0;
  const count = (): void => {
    turns++;
    if (isDrawing) setTimeout(count);
  };
  count();
  const { data } = await sampler.generate({ labels: [0, 1], seed: 3 });
  isDrawing = false;
  await sampler.release();
  return { isIsolated: crossOriginIsolated, device: sampler.device, threads, values: [...data], turns };
}

const report = await draw().catch((error: unknown) => ({ error: String(error) }));
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
