/**
 * @file Runs a contest. Timings of shared machines drift, so all programs are warm and take turns, one iteration each.
 * Rivals come one after another, each against all of our workloads, so that there is never more in memory than these
 * and one rival.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RuntimeUnavailableError } from '../core/errors.ts';
import { Contestant, type Introduction, type PeakMemory } from './contestant.ts';
import type { Contest, Workload } from './plan.ts';
import { type OperationShares, readOperationShares } from './profile.ts';

/** How a program uses the cores: `workers` threads or processes with `threads` threads each. */
export interface Layout {
  readonly workers: number;
  readonly threads: number;
}

export interface Measurement extends Layout {
  readonly name: string;
  readonly precision: string;
  readonly introduction: Introduction;
  /** One entry per timed iteration. */
  readonly seconds: readonly number[];
  readonly memory: PeakMemory;
  /** Where the time went, if a profile was asked for. */
  readonly operations?: OperationShares;
}

export interface RivalMeasurement extends Measurement {
  /** The seconds of each of our workloads in turns with this rival. */
  readonly ourSeconds: readonly (readonly number[])[];
}

export interface ContestResult {
  readonly contest: Contest;
  readonly ours: readonly Measurement[];
  readonly rivals: readonly RivalMeasurement[];
  /** Why a rival is missing. */
  readonly notes: readonly string[];
}

/** Another program that can do the work of some contests. */
export interface Rival {
  readonly name: string;
  readonly precision: string;
  /** Ways to use the cores; the fastest one is measured. */
  layouts(contest: Contest): readonly Layout[];
  start(contest: Contest, layout: Layout, signal: AbortSignal): Promise<Contestant>;
}

export interface ContestOptions {
  readonly rounds: number;
  readonly version: string;
  readonly rivals: readonly Rival[];
  readonly signal: AbortSignal;
  /** Told what is being done. */
  readonly onProgress: (what: string) => void;
}

export async function runContest(contest: Contest, options: ContestOptions): Promise<ContestResult> {
  const { rounds, rivals, signal, onProgress } = options;
  onProgress('starting udit');
  const ours: Contestant[] = [];
  for (const workload of contest.workloads) ours.push(await startOurs(workload, options));
  const seconds = ours.map((): number[] => []);
  const measured: RivalMeasurement[] = [];
  const notes: string[] = [];
  for (const rival of rivals) {
    try {
      measured.push(await challenge(rival));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RuntimeUnavailableError)) throw error;
      notes.push(error.message);
    }
  }
  if (measured.length === 0) {
    onProgress('timing udit');
    record(await takeTurns(ours, rounds));
  }
  const memories = await Promise.all(ours.map((contestant) => contestant.quit()));
  return {
    contest,
    ours: await Promise.all(
      ours.map(async ({ name, introduction }, i) => {
        const { workers, threads, precision, profilePrefix } = contest.workloads[i]!;
        return {
          ...{ name, workers, threads, precision, introduction, seconds: seconds[i]!, memory: memories[i]! },
          ...(profilePrefix === undefined ? {} : { operations: await readOperationShares(profilePrefix) }),
        };
      }),
    ),
    rivals: measured,
    notes,
  };

  async function challenge(rival: Rival): Promise<RivalMeasurement> {
    onProgress(`starting ${rival.name}`);
    const { contestant, layout } = await startFastest(rival, contest, signal);
    onProgress(`timing ${rival.name} in turns with udit`);
    const turns = await takeTurns([...ours, contestant], rounds);
    const ourSeconds = turns.slice(0, ours.length);
    record(ourSeconds);
    return {
      ...layout,
      name: rival.name,
      precision: rival.precision,
      introduction: contestant.introduction,
      seconds: turns.at(-1)!,
      memory: await contestant.quit(),
      ourSeconds,
    };
  }

  function record(turns: readonly (readonly number[])[]): void {
    for (const [i, each] of turns.entries()) seconds[i]!.push(...each);
  }
}

/** Each runs once, then each runs once more …; @returns the seconds of each. */
export async function takeTurns(
  runners: readonly Pick<Contestant, 'run'>[],
  rounds: number,
): Promise<number[][]> {
  const seconds = runners.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, runner] of runners.entries()) seconds[i]!.push(await runner.run());
  }
  return seconds;
}

const TRIAL_ROUNDS = 2;

/** The rival in the layout that is fastest in a short trial. */
async function startFastest(
  rival: Rival,
  contest: Contest,
  signal: AbortSignal,
): Promise<{ readonly contestant: Contestant; readonly layout: Layout }> {
  const [first, ...others] = rival.layouts(contest) as [Layout, ...Layout[]];
  let best = { contestant: await rival.start(contest, first, signal), layout: first };
  for (const layout of others) {
    const candidate = { contestant: await rival.start(contest, layout, signal), layout };
    const [bestSeconds, seconds] = await takeTurns([best.contestant, candidate.contestant], TRIAL_ROUNDS);
    const wins = Math.min(...seconds!) < Math.min(...bestSeconds!);
    await (wins ? best : candidate).contestant.quit();
    if (wins) best = candidate;
  }
  return best;
}

const SOURCE = fileURLToPath(new URL('./workload-process.ts', import.meta.url));
const BUILT = fileURLToPath(new URL('./workload-process.js', import.meta.url));

/** In a checkout the new process has to be taught TypeScript; the package has JavaScript. */
function startOurs(workload: Workload, { version, signal }: ContestOptions): Promise<Contestant> {
  const program = existsSync(SOURCE) ? ['--import', import.meta.resolve('tsx'), SOURCE] : [BUILT];
  const command = { program: process.execPath, args: [...program, JSON.stringify(workload)] };
  return Contestant.start(`udit ${version}`, [command], signal);
}
