/**
 * @file A program under measurement. It has processes of its own so that its peak memory is its own; both this package
 * (workload-process.ts) and the PyTorch peer (bench/peer) speak the same protocol on their standard streams: a line
 * `{"ready": true, …}` once warm, then for each `run` `{"interval": [begin, end]}`, in seconds of the machine's monotonic
 * clock, and for `quit` `{"peak_rss_mb": …}` (10^6 bytes).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { RuntimeUnavailableError } from '../../core/errors.ts';

/** What a program says of itself: versions, libraries, how it was loaded. */
export type Introduction = Readonly<Record<string, string | number | boolean | null>>;

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Laid over this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface PeakMemory {
  /** Sum of the largest resident sets of all processes, in 10^6 bytes. */
  readonly totalMb: number;
  /** The largest of them. */
  readonly largestMb: number;
}

/** One program in one or several processes, each with its share of the work. */
export class Contestant {
  readonly name: string;
  /** Of the first process; the others are the same. */
  readonly introduction: Introduction;
  private readonly processes: readonly ContestantProcess[];

  private constructor(name: string, processes: readonly ContestantProcess[]) {
    this.name = name;
    this.introduction = processes[0]!.introduction;
    this.processes = processes;
  }

  /**
   * Starts the processes and waits until all are warm.
   *
   * @param signal - ends the processes at once
   * @throws RuntimeUnavailableError if one ends before that; its last words are in the message
   */
  static async start(name: string, commands: readonly Command[], signal: AbortSignal): Promise<Contestant> {
    const failed = new AbortController();
    const stop = AbortSignal.any([signal, failed.signal]);
    try {
      const starting = commands.map((command) => ContestantProcess.start(name, command, stop));
      return new Contestant(name, await Promise.all(starting));
    } catch (error) {
      failed.abort();
      throw error;
    }
  }

  /** Does the work once, in all processes at the same time. @returns seconds from the first begin to the last end */
  async run(): Promise<number> {
    const answers = await Promise.all(
      this.processes.map((process) => process.ask<{ interval: [number, number] }>('run')),
    );
    const begin = Math.min(...answers.map(({ interval }) => interval[0]));
    return Math.max(...answers.map(({ interval }) => interval[1])) - begin;
  }

  /** Ends the program and waits until it has ended. */
  async quit(): Promise<PeakMemory> {
    const peaks = await Promise.all(this.processes.map((process) => process.quit()));
    return { totalMb: peaks.reduce((sum, peak) => sum + peak, 0), largestMb: Math.max(...peaks) };
  }
}

class ContestantProcess {
  /** Known after {@link start}. */
  readonly introduction: Introduction;
  private readonly name: string;
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterator<string>;
  private readonly signal: AbortSignal;
  private readonly ended: Promise<unknown>;

  private constructor(
    name: string,
    process: ChildProcessWithoutNullStreams,
    answers: AsyncIterator<string>,
    introduction: Introduction,
    signal: AbortSignal,
  ) {
    this.name = name;
    this.process = process;
    this.answers = answers;
    this.introduction = introduction;
    this.signal = signal;
    this.ended = new Promise((resolve) => process.once('close', resolve));
  }

  static async start(
    name: string,
    { program, args, env = {} }: Command,
    signal: AbortSignal,
  ): Promise<ContestantProcess> {
    const child = spawn(program, args, { env: { ...process.env, ...env }, signal });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-2000);
    });
    const failedToStart = new Promise<never>((_, reject) => {
      child.on('error', (cause) =>
        reject(signal.aborted ? signal.reason : failure(name, cause.message, cause)),
      );
    });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await Promise.race([answers.next(), failedToStart]);
    signal.throwIfAborted();
    if (first.done) {
      throw failure(name, `the program ended before it was ready: ${lastWords(complaints)}`);
    }
    const { ready: _, ...introduction } = JSON.parse(first.value) as Introduction;
    return new ContestantProcess(name, child, answers, introduction, signal);
  }

  async ask<Answer extends object>(request: string): Promise<Answer> {
    this.process.stdin.write(`${request}\n`);
    const line = await this.answers.next();
    this.signal.throwIfAborted();
    if (line.done) throw failure(this.name, `the program ended without an answer to "${request}"`);
    const answer = JSON.parse(line.value) as Answer | { readonly error: string };
    if ('error' in answer) throw failure(this.name, answer.error);
    return answer;
  }

  /** @returns peak resident memory in 10^6 bytes */
  async quit(): Promise<number> {
    const { peak_rss_mb } = await this.ask<{ peak_rss_mb: number }>('quit');
    this.process.stdin.end();
    await this.ended;
    return peak_rss_mb;
  }
}

/** The line of a program's complaints that says what is wrong: Node closes with its version, Python with the error. */
export function lastWords(complaints: string): string {
  const lines = complaints.trim().split('\n');
  return (lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)!).trim();
}

function failure(name: string, problem: string, cause?: unknown): RuntimeUnavailableError {
  return new RuntimeUnavailableError({
    where: `bench ${name}`,
    problem,
    ...(cause === undefined ? {} : { cause }),
  });
}
