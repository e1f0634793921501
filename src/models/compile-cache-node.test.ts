import { afterEach, expect, test, vi } from 'vitest';
import { DataError } from '../core/errors.ts';
import { compileCache } from './compile-cache-node.ts';

test('holds as much as it is told to, or is switched off', () => {
  const ignored = (): void => {};
  expect(compileCache()!.maxBytes).toBe(10e9);
  expect(compileCache(ignored, '500M')!.maxBytes).toBe(500e6);
  expect(compileCache(ignored, 'off')).toBeUndefined();
});

afterEach(() => vi.unstubAllEnvs());

test('is off, with a note, for a user without a home folder', () => {
  for (const name of ['UDIT_CACHE', 'XDG_CACHE_HOME', 'LOCALAPPDATA', 'HOME', 'USERPROFILE'])
    vi.stubEnv(name, '');
  const notes: string[] = [];
  expect(compileCache((note) => notes.push(note))).toBeUndefined();
  expect(notes).toEqual(['the compiled model is not kept: cache: the user has no home folder for it']);
});

test('refuses what is no size', () => {
  expect(() => compileCache(undefined, 'plenty')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: UDIT_COMPILE_CACHE: "plenty" is no size in bytes
      fix: use one such as 10G, or off]
  `);
});

test('says once why nothing is kept', () => {
  const notes: string[] = [];
  const cache = compileCache((note) => notes.push(note))!;
  const error = new DataError({ where: '/proc/x', problem: 'the folder cannot be made' });
  for (let i = 0; i < 2; i++) cache.onUnkept?.(error);
  expect(notes).toEqual(['the compiled model is not kept: /proc/x: the folder cannot be made']);
});
