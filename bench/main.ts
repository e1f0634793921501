/**
 * @file `npm run bench`: this package against PyTorch on the same work. Timings of shared machines drift, so the
 * programs are all warm and take turns, one iteration each; the ratio of their medians is the result.
 */
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { UditError } from '../src/core/errors.ts';
import { Contestant } from './contestant.ts';
import { type BenchOptions, parseOptions, type Task, USAGE } from './options.ts';
import { startPeer } from './peer.ts';
import { formatReport, type Measurement, median, ratios, type TaskReport } from './report.ts';

const OURS = fileURLToPath(new URL('ours.ts', import.meta.url));

async function measure(task: Task, options: BenchOptions): Promise<TaskReport> {
  const contestants = [await startOurs(task, options)];
  let noPeer = options.peer ? undefined : '--no-peer';
  for (const tuned of task === 'train' && options.tunedPeer ? [false, true] : [false]) {
    if (noPeer !== undefined) break;
    const peer = await startPeer(task, options, { tuned });
    if (typeof peer === 'string') noPeer = peer;
    else contestants.push(peer);
  }
  const seconds = contestants.map((): number[] => []);
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, contestant] of contestants.entries()) seconds[i]!.push(...(await contestant.run(1)));
  }
  const measurements: Measurement[] = [];
  for (const [i, contestant] of contestants.entries()) {
    const { name, introduction } = contestant;
    measurements.push({ name, introduction, seconds: seconds[i]!, peakMemoryMb: await contestant.quit() });
  }
  return { task, measurements, ...(noPeer === undefined ? {} : { noPeer }) };
}

function startOurs(task: Task, { model, batch, threads }: BenchOptions): Promise<Contestant> {
  const flags = ['--task', task, '--model', model, '--batch', String(batch), '--threads', String(threads)];
  // The same loader flags as this process, so that TypeScript runs there too.
  return Contestant.start('udit', process.execPath, [...process.execArgv, OURS, ...flags]);
}

function jsonOf(options: BenchOptions, reports: readonly TaskReport[]): string {
  const results = reports.map(({ measurements, ...report }) => ({
    ...report,
    measurements: measurements.map((measurement, i) => ({
      ...measurement,
      medianSeconds: median(measurement.seconds),
      ...(i === 0 ? {} : { ourRatio: ratios(measurements[0]!, measurement) }),
    })),
  }));
  const { model, batch, threads, rounds } = options;
  return JSON.stringify({ cpu: cpuName(), model, batch, threads, rounds, results }, null, 2);
}

const cpuName = (): string => cpus()[0]?.model ?? 'unknown';

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    console.log(USAGE);
    return;
  }
  const { model, batch, threads, rounds } = options;
  if (!options.json) {
    console.log(`${model}, batch ${batch}, ${threads} thread(s), ${rounds} rounds, ${cpuName()}`);
  }
  const reports: TaskReport[] = [];
  for (const task of options.tasks) {
    const report = await measure(task, options);
    reports.push(report);
    if (!options.json) console.log(`\n${formatReport(report)}`);
  }
  if (options.json) console.log(jsonOf(options, reports));
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UditError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
