import { expect, test } from 'vitest';
import { expectOptions, type OptionTable } from './options.ts';

interface Options {
  readonly backend: string;
  readonly steps?: number;
}
const TABLE: OptionTable<Options> = { backend: 'needed', steps: 'optional' };
const expectThese = (options: unknown): void => expectOptions(options as Options, 'draw', TABLE);

test('options that exist are taken', () => {
  expectThese({ backend: 'cpu' });
  expectThese({ backend: 'cpu', steps: undefined });
});

test('none, a missing one and an unknown one are errors', () => {
  expect(() => expectThese(undefined)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: draw: its options are undefined
      fix: give an object with backend]
  `);
  expect(() => expectThese({})).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: draw: the option backend is missing
      fix: give backend]
  `);
  expect(() => expectThese({ backend: 'cpu', stepz: 3 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: draw: there is no option stepz
      fix: did you mean steps?]
  `);
});
