/** @file This package as a contestant: builds the work, warms up and obeys `run K` and `quit` (see contestant.ts). */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { Task } from './options.ts';
import { createWork, type Work } from './workload.ts';

const WARMUP_ITERATIONS = 2;

const say = (fields: Readonly<Record<string, unknown>>): void => console.log(JSON.stringify(fields));

const { values } = parseArgs({
  options: {
    task: { type: 'string', default: 'forward' },
    model: { type: 'string', default: 'U-DiT-S' },
    batch: { type: 'string', default: '8' },
    threads: { type: 'string', default: '1' },
    profile: { type: 'string' },
  },
});
const work = await createWork(values.task as Task, {
  model: values.model,
  batch: Number(values.batch),
  threads: Number(values.threads),
  ...(values.profile === undefined ? {} : { profilePrefix: values.profile }),
});
await timed(work, WARMUP_ITERATIONS);
const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
say({ ready: true, onnxruntime: version, node: process.versions.node, threads: Number(values.threads) });

for await (const line of createInterface({ input: process.stdin })) {
  const [request, count] = line.trim().split(' ');
  if (request === 'quit') break;
  if (request === 'run' && Number(count) > 0) say({ seconds: await timed(work, Number(count)) });
  else say({ error: `unknown request '${line}': send 'run K' or 'quit'` });
}
say({ peak_rss_mb: await peakMemoryMb() });
await work.release();
process.exit();

async function timed(work: Work, count: number): Promise<number[]> {
  const seconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await work.run();
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

/** Largest resident set of this process so far, in 10^6 bytes. */
async function peakMemoryMb(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kilobytes = /VmHWM:\s+(\d+)/.exec(status)?.[1];
  const bytes = (kilobytes === undefined ? process.resourceUsage().maxRSS : Number(kilobytes)) * 1024;
  return Math.round(bytes / 1e5) / 10;
}
