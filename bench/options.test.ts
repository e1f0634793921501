import { expect, test } from 'vitest';
import { parseOptions } from './options.ts';

test('defaults time both tasks of U-DiT-S as the issue states them', () => {
  expect(parseOptions([])).toEqual({
    tasks: ['forward', 'train'],
    model: 'U-DiT-S',
    batch: 8,
    threads: 1,
    rounds: 5,
    tunedPeer: false,
    peer: true,
    json: false,
  });
  expect(parseOptions(['--help'])).toBeNull();
});

test('flags replace them', () => {
  expect(parseOptions(['--task', 'train', '--rounds', '3', '--no-peer', '--tuned-peer'])).toMatchObject({
    tasks: ['train'],
    rounds: 3,
    peer: false,
    tunedPeer: true,
  });
});

test('says what is wrong and what would be right', () => {
  expect(() => parseOptions(['--batch', '0'])).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: bench: --batch is "0", not a whole number of at least 1
      fix: give a count, such as --batch 4]
  `);
  expect(() => parseOptions(['--task', 'backward'])).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: bench: there is no task "backward"
      fix: use one of forward, train, all]
  `);
  expect(() => parseOptions(['--modell', 'U-DiT-S'])).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: bench: Unknown option '--modell'
      fix: see npm run bench -- --help]
  `);
});
