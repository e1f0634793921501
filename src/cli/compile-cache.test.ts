import { expect, test } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import { DataError } from '../core/errors.ts';
import { compileCache } from './compile-cache.ts';

test('is there unless it is switched off', () => {
  expect(compileCache(recordingTerminal())).toBeDefined();
  expect(compileCache(recordingTerminal(), '500M')).toBeDefined();
  expect(compileCache(recordingTerminal(), 'off')).toBeUndefined();
});

test('refuses what is no size', () => {
  expect(() => compileCache(recordingTerminal(), 'plenty')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: UDIT_COMPILE_CACHE: "plenty" is no size in bytes
      fix: use one such as 10G, or off]
  `);
});

test('says once why nothing is kept', () => {
  const terminal = recordingTerminal();
  const cache = compileCache(terminal)!;
  const error = new DataError({ where: '/proc/x', problem: 'the folder cannot be made' });
  for (let i = 0; i < 2; i++) cache.onUnkept?.(error);
  expect(terminal.printed.err).toBe(
    'note: the compiled model is not kept: /proc/x: the folder cannot be made\n',
  );
});
