import { expect, test } from 'vitest';
import { compileCache } from './compile-cache.ts';

test('is there unless it is switched off', () => {
  expect(compileCache()).toBeDefined();
  expect(compileCache('500M')).toBeDefined();
  expect(compileCache('off')).toBeUndefined();
});

test('refuses what is no size', () => {
  expect(() => compileCache('plenty')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: UDIT_COMPILE_CACHE: "plenty" is no size in bytes
      fix: use one such as 10G, or off]
  `);
});
