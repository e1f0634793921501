/** @file How commands end: exit codes, what a failure prints, and stopping at a signal. */
import { constants } from 'node:os';
import { CommanderError } from 'commander';
import { ConfigError, DataError, UditError } from '../core/errors.ts';
import type { Terminal } from './terminal.ts';

export const EXIT_CODES = {
  ok: 0,
  failure: 1,
  /** The command line, or a configuration it names, cannot work, or names what does not exist. */
  usage: 2,
  /** Nobody has read the results to their end; shells report SIGPIPE so. */
  unread: 141,
} as const;

/** Ctrl-C, a terminal that is closed or a connection that is lost, and `kill`. */
const STOPPING_SIGNALS = ['SIGINT', 'SIGHUP', 'SIGTERM'] as const;
type StoppingSignal = (typeof STOPPING_SIGNALS)[number];

/** The reason of an abort by a signal. */
export class Interruption extends Error {
  /** As shells report a signal. */
  readonly exitCode: number;

  constructor(signal: StoppingSignal) {
    super(`stopped by ${signal === 'SIGINT' ? 'Ctrl-C' : signal}`);
    this.name = 'Interruption';
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * Runs work that the first of these signals stops in good order through `signal`. Further ones change nothing: npm
 * repeats Ctrl-C, and a checkpoint may be half-written.
 */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => controller.abort(new Interruption(signal as StoppingSignal));
  for (const signal of STOPPING_SIGNALS) process.on(signal, stop);
  try {
    return await run(controller.signal);
  } finally {
    for (const signal of STOPPING_SIGNALS) process.off(signal, stop);
  }
}

/** Prints what went wrong and returns the exit code. A stack trace is shown on request only. */
export function reportFailure(error: unknown, terminal: Terminal, { verbose }: { verbose: boolean }): number {
  const { err } = terminal;
  if (error instanceof CommanderError) {
    // Commander has printed it; its code is 0 where help or the version was asked for.
    return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  if (error instanceof Interruption) {
    err.write(`${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof UditError) {
    err.write(`${error.message}\n`);
    if (verbose) err.write(`${stackFrames(error)}\n`);
    return error instanceof ConfigError || error.absent ? EXIT_CODES.usage : EXIT_CODES.failure;
  }
  if (isTooLarge(error)) {
    const tooLarge = new ConfigError({
      where: 'memory',
      problem: `a requested array cannot be allocated (${error.message})`,
      fix: 'use smaller numbers of batches, images or classes, or smaller widths',
      cause: error,
    });
    return reportFailure(tooLarge, terminal, { verbose });
  }
  const unexpected = error instanceof Error ? error : new Error(String(error));
  err.write(`unexpected error: ${unexpected.message}\n`);
  err.write(
    verbose ? `${stackFrames(unexpected)}\n` : '  run the command again with --verbose to see where\n',
  );
  return EXIT_CODES.failure;
}

/** Is it how JavaScript says that an array or a text is larger than it can be, or than memory? */
function isTooLarge(error: unknown): error is RangeError {
  return (
    error instanceof RangeError &&
    /^Invalid (typed )?array length|^Array buffer allocation failed|^Invalid string length/.test(
      error.message,
    )
  );
}

/** The codes that the system gives when a reader or a terminal has gone. */
const READER_IS_GONE = new Set(['EPIPE', 'EIO', 'ECONNRESET', 'ENOTCONN']);

/** What is said, and the exit code, where all went well but results could not be printed. */
export function reportLostResults(error: NodeJS.ErrnoException, terminal: Terminal): number {
  if (READER_IS_GONE.has(error.code ?? '')) return EXIT_CODES.unread;
  const failure = new DataError({
    where: 'standard output',
    problem: `cannot be written (${error.code ?? error.message})`,
    fix: 'print the results somewhere else; files are written already',
    cause: error,
  });
  return reportFailure(failure, terminal, { verbose: false });
}

/** Where the error and its causes came from. */
function stackFrames(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  const cause = error.cause instanceof Error ? [`caused by ${error.cause.stack}`] : [];
  return [...frames, ...cause].join('\n');
}
