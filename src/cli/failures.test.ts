import { CommanderError } from 'commander';
import { describe, expect, test } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import { EXIT_CODES, Interruption, interruptible, reportFailure } from './failures.ts';

function report(error: unknown, verbose = false): { readonly code: number; readonly err: string } {
  const terminal = recordingTerminal();
  const code = reportFailure(error, terminal, { verbose });
  return { code, err: terminal.printed.err };
}

describe('exit codes and what is printed', () => {
  test('a failure', () => {
    const error = new CheckpointError({
      where: 'a.safetensors',
      problem: 'is damaged',
      fix: 'copy it again',
    });
    expect(report(error)).toEqual({
      code: EXIT_CODES.failure,
      err: 'CheckpointError: a.safetensors: is damaged\n  fix: copy it again\n',
    });
  });

  test('a configuration that cannot work is wrong usage', () => {
    expect(report(new ConfigError({ where: '--steps', problem: 'steps is 0' })).code).toBe(EXIT_CODES.usage);
  });

  test('what Commander has printed already', () => {
    expect(report(new CommanderError(1, 'commander.unknownOption', 'no such option'))).toEqual({
      code: EXIT_CODES.usage,
      err: '',
    });
    expect(report(new CommanderError(0, 'commander.helpDisplayed', 'help')).code).toBe(EXIT_CODES.ok);
  });

  test('an interruption', () => {
    expect(report(new Interruption('SIGINT'))).toEqual({
      code: EXIT_CODES.interrupted,
      err: 'stopped by Ctrl-C\n',
    });
  });

  test('an error that nobody expected', () => {
    expect(report(new TypeError('x is undefined'))).toEqual({
      code: EXIT_CODES.failure,
      err: 'unexpected error: x is undefined\n  run the command again with --verbose to see where\n',
    });
    expect(report('a string').err).toContain('unexpected error: a string\n');
  });

  test('a stack trace, with the cause, on request only', () => {
    const cause = new Error('disk gone');
    const error = new CheckpointError({ where: 'a', problem: 'cannot be read', cause });
    expect(report(error).err).not.toContain('    at ');
    expect(report(error, true).err).toMatch(
      /^CheckpointError: a: cannot be read\n {4}at .*failures\.test\.ts/,
    );
    expect(report(error, true).err).toContain('caused by Error: disk gone\n    at ');
  });
});

describe('interruptible work', () => {
  test('is told of the first Ctrl-C', async () => {
    const work = interruptible(async (signal) => {
      process.emit('SIGINT', 'SIGINT');
      signal.throwIfAborted();
    });
    await expect(work).rejects.toThrow(new Interruption('SIGINT'));
  });

  test('leaves no listeners', async () => {
    const before = process.listenerCount('SIGINT');
    expect(await interruptible(async () => process.listenerCount('SIGINT') - before)).toBe(1);
    await expect(interruptible(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});
