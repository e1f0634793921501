/** @file This package as a contestant (contestant.ts): does its workload when it is told to. */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { backendFor } from '../../engine/runtime/devices-node.ts';
import type { Task, Workload } from './plan.ts';
import { productGflops } from './product-speed.ts';
import { createWork } from './workload.ts';

/** The program's argument, as JSON. */
export interface Assignment {
  readonly workload: Workload;
  /** Where compiled models are kept between processes. */
  readonly cacheFolder: string;
  /** False where loading is all that is timed. */
  readonly warmUp: boolean;
  /** Is the error of a low precision asked for? It takes memory. */
  readonly measureError: boolean;
  /** Is the speed of matrix products alone asked for? */
  readonly measureProducts: boolean;
}

/** The first iterations are slower: memory is new, and code is compiled. */
const WARM_UP_ITERATIONS: Readonly<Record<Task, number>> = {
  forward: 2,
  sample: 1,
  train: 1,
  encode: 1,
  decode: 1,
  features: 2,
};

const say = (fields: Readonly<Record<string, unknown>>): void => console.log(JSON.stringify(fields));

// Ctrl-C and a closed terminal reach every process of it; this one is ended by the program that started it.
for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});

const assignment = JSON.parse(process.argv[2]!) as Assignment;
const { workload, cacheFolder, warmUp, measureError, measureProducts } = assignment;
const work = await createWork(workload, cacheFolder);
for (let i = 0; warmUp && i < WARM_UP_ITERATIONS[workload.task]; i++) await work.run();
const { loadSeconds, facts } = work;
const error = measureError ? { outputError: await work.error?.() } : {};
const products = measureProducts
  ? { productGflops: await productGflops(await backendFor(workload.device), workload) }
  : {};
say({ ready: true, loadSeconds, ...error, ...products, node: process.versions.node, ...facts });

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
