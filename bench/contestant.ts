/**
 * @file One program under measurement, in a process of its own so that its peak memory is its own. Both this package
 * (ours.ts) and the PyTorch peer (peer/udit_torch.py) speak the protocol: a line `{"ready": true, …}` once warm, then
 * `run K` → `{"seconds": […]}`, and `quit` → `{"peak_rss_mb": …}` (10^6 bytes).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { RuntimeUnavailableError } from '../src/core/errors.ts';

/** What a program says of itself: versions, threads, libraries. */
export type Introduction = Readonly<Record<string, string | number | boolean | null>>;

export class Contestant {
  readonly name: string;
  /** Known after {@link start}. */
  readonly introduction: Introduction;
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterator<string>;

  private constructor(
    name: string,
    process: ChildProcessWithoutNullStreams,
    answers: AsyncIterator<string>,
    introduction: Introduction,
  ) {
    this.name = name;
    this.process = process;
    this.answers = answers;
    this.introduction = introduction;
  }

  /**
   * Starts a program and waits until it is warm.
   *
   * @throws RuntimeUnavailableError if it ends before that; its last words are in the message
   */
  static async start(
    name: string,
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Contestant> {
    const child = spawn(command, args, { env: { ...process.env, ...env } });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-2000);
    });
    const spawnFailure = new Promise<never>((_, reject) => {
      child.on('error', (cause) =>
        reject(new RuntimeUnavailableError({ where: `bench ${name}`, problem: cause.message, cause })),
      );
    });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await Promise.race([answers.next(), spawnFailure]);
    if (first.done) {
      throw new RuntimeUnavailableError({
        where: `bench ${name}`,
        problem: `the program ended before it was ready: ${complaints.trim().split('\n').at(-1) ?? ''}`,
      });
    }
    const { ready: _, ...introduction } = JSON.parse(first.value) as Introduction;
    return new Contestant(name, child, answers, introduction);
  }

  /** Seconds of each of `count` iterations. */
  async run(count: number): Promise<number[]> {
    const { seconds } = await this.ask<{ seconds: number[] }>(`run ${count}`);
    return seconds;
  }

  /** Ends the program; returns its peak resident memory in 10^6 bytes. */
  async quit(): Promise<number> {
    const { peak_rss_mb } = await this.ask<{ peak_rss_mb: number }>('quit');
    this.process.stdin.end();
    return peak_rss_mb;
  }

  private async ask<Answer>(request: string): Promise<Answer> {
    this.process.stdin.write(`${request}\n`);
    const answer = await this.answers.next();
    if (answer.done) {
      throw new RuntimeUnavailableError({
        where: `bench ${this.name}`,
        problem: `the program ended without an answer to "${request}"`,
      });
    }
    return JSON.parse(answer.value) as Answer;
  }
}
