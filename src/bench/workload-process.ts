/** @file This package as a contestant (contestant.ts): does the workload of its argument when it is told to. */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { runtimeVersion } from '../runtime/ort-node.ts';
import type { Task, Workload } from './plan.ts';
import { createWork } from './workload.ts';

/** The first iterations are slower: memory is new, and code is compiled. Loading is measured from the first on. */
const WARM_UP_ITERATIONS: Readonly<Record<Task, number>> = { load: 0, forward: 2, sample: 1, train: 1 };

const say = (fields: Readonly<Record<string, unknown>>): void => console.log(JSON.stringify(fields));

// Ctrl-C reaches every process of the terminal; this one is ended by the program that started it.
process.on('SIGINT', () => {});

const workload = JSON.parse(process.argv[2]!) as Workload;
const work = await createWork(workload);
for (let i = 0; i < WARM_UP_ITERATIONS[workload.task]; i++) await work.run();
say({ ready: true, onnxruntime: runtimeVersion, node: process.versions.node, ...work.facts });

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'quit') {
    say({ peak_rss_mb: await peakMemoryMb() });
    break;
  }
  if (line === 'run') {
    const begin = secondsNow();
    await work.run();
    say({ interval: [begin, secondsNow()] });
  } else say({ error: `unknown request "${line}"` });
}
await work.release();
process.exit();

/** Seconds of the machine's monotonic clock, which all processes read alike. */
function secondsNow(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** Largest resident set of this process so far, in 10^6 bytes. */
async function peakMemoryMb(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kilobytes = /VmHWM:\s+(\d+)/.exec(status)?.[1];
  const bytes = (kilobytes === undefined ? process.resourceUsage().maxRSS : Number(kilobytes)) * 1024;
  return Math.round(bytes / 1e5) / 10;
}
