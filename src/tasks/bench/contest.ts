/**
 * @file Runs a contest. Timings of shared machines drift, so all programs are warm and take turns, one iteration each.
 * Rivals come one after another, each against all of our workloads, so that there is never more in memory than these
 * and one rival.
 */
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { Contestant, type Introduction, type PeakMemory } from './contestant.ts';
import type { Contest, Workload } from './plan.ts';
import { type OperationShares, readOperationShares } from './profile.ts';
import type { Assignment } from './workload-process.ts';

/** How a program uses the cores: `workers` threads or processes with `threads` threads each. */
export interface Layout {
  readonly workers: number;
  readonly threads: number;
}

/** From weights in memory to sessions that are ready. */
export interface LoadSeconds {
  /** With nothing kept from before. */
  readonly cold: number;
  /** With the compiled model kept on disk, if it is. */
  readonly warm?: number;
}

export interface Measurement extends Layout {
  readonly name: string;
  readonly precision: string;
  readonly introduction: Introduction;
  /** One entry per timed iteration. */
  readonly seconds: readonly number[];
  readonly memory: PeakMemory;
  /** Of our workloads. */
  readonly loadSeconds?: LoadSeconds;
  /** Relative L2 of the network's output to that in f32: forward, where it is in another precision. */
  readonly error?: number;
  /** Operations in a second, in 10^9, of matrix products alone on the same cores: forward and features in f32 on the CPU. */
  readonly productGflops?: number;
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
  /** Multiply-accumulates, where they are known. */
  readonly macsPerImage?: number | undefined;
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
  /** Multiply-accumulates of one image and one evaluation of the network, or of the half that works. */
  readonly forwardMacs: number;
  /** For compiled models; they are left there. */
  readonly scratchFolder: string;
  readonly signal: AbortSignal;
  /** Told what is being done. */
  readonly onProgress: (what: string) => void;
}

export async function runContest(contest: Contest, options: ContestOptions): Promise<ContestResult> {
  const { rounds, rivals, signal, onProgress } = options;
  onProgress('starting udit');
  const ours: StartedWorkload[] = [];
  for (const workload of contest.workloads) ours.push(await startOurs(workload, options));
  const contestants = ours.map(({ contestant }) => contestant);
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
    record(await takeTurns(contestants, rounds));
  }
  const finished = ours.map((started, i) => finish(started, seconds[i]!));
  const macsPerImage = macsOf(contest, options.forwardMacs, contestants[0]!.introduction);
  return { contest, ours: await Promise.all(finished), rivals: measured, macsPerImage, notes };

  async function challenge(rival: Rival): Promise<RivalMeasurement> {
    onProgress(`starting ${rival.name}`);
    const { contestant, layout } = await startFastest(rival, contest, signal);
    onProgress(`timing ${rival.name} in turns with udit`);
    const turns = await takeTurns([...contestants, contestant], rounds);
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

/** In all evaluations of the network that an image takes; those of training are not counted. */
function macsOf(
  { task }: Contest,
  forwardMacs: number,
  { evaluations = 1, cfgScale = 1 }: Introduction,
): number | undefined {
  if (task === 'train') return undefined;
  return forwardMacs * Number(evaluations) * (cfgScale === 1 ? 1 : 2);
}

async function finish(
  { workload, contestant, loadSeconds, ...measured }: StartedWorkload,
  seconds: readonly number[],
): Promise<Measurement> {
  const { workers, threads, precision, profilePrefix } = workload;
  const {
    name,
    introduction: { loadSeconds: _, outputError: __, productGflops: ___, ...introduction },
  } = contestant;
  const memory = await contestant.quit();
  return {
    ...{ name, workers, threads, precision, introduction, seconds, memory, loadSeconds },
    ...measured,
    ...(profilePrefix === undefined ? {} : { operations: await readOperationShares(profilePrefix) }),
  };
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

interface StartedWorkload {
  readonly workload: Workload;
  readonly contestant: Contestant;
  readonly loadSeconds: LoadSeconds;
  readonly error?: number;
  readonly productGflops?: number;
}

/**
 * Where compiled models are kept it is started twice: what is timed runs as it does from the second start on. The error
 * and the speed of products are measured in the first process.
 */
async function startOurs(workload: Workload, options: ContestOptions): Promise<StartedWorkload> {
  const cacheFolder = await mkdtemp(join(options.scratchFolder, 'models-'));
  const keepsModels = workload.task !== 'train' && workload.device === 'cpu';
  const measureError = workload.precision !== 'f32';
  const isMeasured = workload.task === 'forward' || workload.task === 'features';
  const measureProducts = !measureError && isMeasured && workload.device === 'cpu';
  const first = await startProcess(
    { workload, cacheFolder, warmUp: !keepsModels, measureError, measureProducts },
    options,
  );
  const cold = Number(first.introduction.loadSeconds);
  const measured = {
    ...(measureError ? { error: first.introduction.outputError as number } : {}),
    ...(measureProducts ? { productGflops: Number(first.introduction.productGflops) } : {}),
  };
  if (!keepsModels) return { workload, contestant: first, loadSeconds: { cold }, ...measured };
  await first.quit();
  const again = { workload, cacheFolder, warmUp: true, measureError: false, measureProducts: false };
  const contestant = await startProcess(again, options);
  const warm = Number(contestant.introduction.loadSeconds);
  return { workload, contestant, loadSeconds: { cold, warm }, ...measured };
}

/** In a checkout the new process has to be taught TypeScript; the package has JavaScript. */
function startProcess(assignment: Assignment, { version, signal }: ContestOptions): Promise<Contestant> {
  const program = existsSync(SOURCE) ? ['--import', import.meta.resolve('tsx'), SOURCE] : [BUILT];
  const command = { program: process.execPath, args: [...program, JSON.stringify(assignment)] };
  return Contestant.start(`udit ${version}`, [command], signal);
}
