/** @file How commands end: exit codes, what a failure prints, and stopping at Ctrl-C. */
import { CommanderError } from 'commander';
import { ConfigError, UditError } from '../core/errors.ts';
import type { Terminal } from './terminal.ts';

export const EXIT_CODES = {
  ok: 0,
  failure: 1,
  /** The command line, or a configuration it names, cannot work. */
  usage: 2,
  /** Stopped by a signal, as shells report Ctrl-C. */
  interrupted: 130,
} as const;

/** The reason of an abort by Ctrl-C or SIGTERM. */
export class Interruption extends Error {
  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal === 'SIGINT' ? 'Ctrl-C' : signal}`);
    this.name = 'Interruption';
  }
}

/**
 * Runs work that the first Ctrl-C (or SIGTERM) stops in good order through `signal`; a second one ends the process.
 */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => controller.abort(new Interruption(signal));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    return await run(controller.signal);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** Prints what went wrong and returns the exit code. A stack trace is shown on request only. */
export function reportFailure(error: unknown, { err }: Terminal, { verbose }: { verbose: boolean }): number {
  if (error instanceof CommanderError) {
    // Commander has printed it; its code is 0 where help or the version was asked for.
    return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  if (error instanceof Interruption) {
    err.write(`${error.message}\n`);
    return EXIT_CODES.interrupted;
  }
  if (error instanceof UditError) {
    err.write(`${error.message}\n`);
    if (verbose) err.write(`${stackFrames(error)}\n`);
    return error instanceof ConfigError ? EXIT_CODES.usage : EXIT_CODES.failure;
  }
  const unexpected = error instanceof Error ? error : new Error(String(error));
  err.write(`unexpected error: ${unexpected.message}\n`);
  err.write(
    verbose ? `${stackFrames(unexpected)}\n` : '  run the command again with --verbose to see where\n',
  );
  return EXIT_CODES.failure;
}

/** Where the error and its causes came from. */
function stackFrames(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  const cause = error.cause instanceof Error ? [`caused by ${error.cause.stack}`] : [];
  return [...frames, ...cause].join('\n');
}
