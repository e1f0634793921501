import { CommanderError } from 'commander';
import { describe, expect, test } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import { EXIT_CODES, Interruption, interruptible, reportFailure, reportLostResults } from './failures.ts';

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

  test.each([
    ['SIGINT', 130, 'stopped by Ctrl-C\n'],
    ['SIGHUP', 129, 'stopped by SIGHUP\n'],
    ['SIGTERM', 143, 'stopped by SIGTERM\n'],
  ] as const)('an interruption by %s', (signal, code, err) => {
    expect(report(new Interruption(signal))).toEqual({ code, err });
  });

  test('an error that nobody expected', () => {
    expect(report(new TypeError('x is undefined'))).toEqual({
      code: EXIT_CODES.failure,
      err: 'unexpected error: x is undefined\n  run the command again with --verbose to see where\n',
    });
    expect(report('a string').err).toContain('unexpected error: a string\n');
  });

  test.each([
    () => new Float32Array(2 ** 53),
    () => new ArrayBuffer(2 ** 53 - 1),
    () => new Array(2 ** 32),
    () => 'x'.repeat(2 ** 30),
  ])('an array or text too large to make is wrong usage: %s', (make) => {
    let error: unknown;
    try {
      make();
    } catch (thrown) {
      error = thrown;
    }
    expect(report(error)).toMatchObject({
      code: EXIT_CODES.usage,
      err: expect.stringMatching(/^ConfigError: memory: a requested array cannot be allocated/),
    });
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

describe('results that could not be printed', () => {
  const lose = (code: string) => {
    const terminal = recordingTerminal();
    return {
      code: reportLostResults(Object.assign(new Error(code), { code }), terminal),
      ...terminal.printed,
    };
  };

  test('have lost their reader or terminal, of which nothing needs to be said', () => {
    expect(lose('EPIPE')).toEqual({ code: 141, out: '', err: '' });
    expect(lose('EIO')).toEqual({ code: 141, out: '', err: '' });
  });

  test('were to go to a full disk', () => {
    expect(lose('ENOSPC')).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "DataError: standard output: cannot be written (ENOSPC)
        fix: print the results somewhere else; files are written already
      ",
        "out": "",
      }
    `);
  });
});

describe('interruptible work', () => {
  test.each(['SIGINT', 'SIGHUP', 'SIGTERM'] as const)('is told of the first %s', async (name) => {
    const work = interruptible(async (signal) => {
      process.emit(name, name);
      signal.throwIfAborted();
    });
    await expect(work).rejects.toThrow(new Interruption(name));
  });

  test('goes on to its end whatever signals follow the first', async () => {
    const listeners = () => process.listenerCount('SIGINT') * process.listenerCount('SIGTERM');
    const before = listeners();
    const reason = await interruptible(async (signal) => {
      process.emit('SIGINT', 'SIGINT');
      process.emit('SIGINT', 'SIGINT');
      process.emit('SIGTERM', 'SIGTERM');
      // A signal that nobody listens to ends the process.
      expect(listeners()).toBeGreaterThan(before);
      return signal.reason;
    });
    expect(reason).toEqual(new Interruption('SIGINT'));
  });

  test('leaves no listeners', async () => {
    const count = () => process.listenerCount('SIGINT') + process.listenerCount('SIGHUP');
    const before = count();
    expect(await interruptible(async () => count() - before)).toBe(2);
    await expect(interruptible(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(count()).toBe(before);
  });
});
