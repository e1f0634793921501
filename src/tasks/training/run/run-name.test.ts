import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { defaultRunName, expectRunName } from './run-name.ts';

test.each([
  ['', 'is empty'],
  [' ', 'is empty'],
  ['.', 'is the name of an existing folder'],
  ['..', 'is the name of an existing folder'],
  ['a/b', 'has "/" in it'],
  ['..\\b', 'has "\\\\" in it'],
  ['a\nb', 'has "\\n" in it'],
  ['pets.', 'ends with one or with a dot'],
  ['NUL', 'is the name of a device'],
  ['com1.txt', 'is the name of a device'],
  ['é'.repeat(200), 'has 400 bytes'],
])('the name %j is refused', (name, problem) => {
  expect(() => expectRunName(name)).toThrow(problem);
});

test('the error names the flag and a way out', () => {
  expect(() => expectRunName('../pets')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: --name: "../pets" has "/" in it, which a folder's name cannot have
      fix: use a name such as pets-2; --results-dir chooses the folder that runs lie in]
  `);
});

test.each(['pets-2', '日本', 'Ünï 3', '.hidden', 'console'])('the name %j is kept', (name) => {
  expect(expectRunName(name)).toBe(name);
});

describe('the name of a run that is given none', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'udit name '));
  });
  afterEach(() => rm(root, { recursive: true }));

  const configOn = (path: string) =>
    tinyConfig({ data: { path: path === 'emoji' ? path : join(root, path) } });
  const nameFor = (path: string) => defaultRunName(configOn(path), join(root, 'runs'));

  /** A run on these data, which are there. */
  async function startRun(name: string, path: string): Promise<void> {
    await mkdir(join(root, path), { recursive: true });
    await mkdir(join(root, 'runs', name), { recursive: true });
    await writeFile(join(root, 'runs', name, 'config.json'), JSON.stringify(configOn(path)));
  }

  test.each([
    ['emoji', 'u-dit-xs-emoji'],
    ['My Pets!', 'u-dit-xs-my-pets'],
    ['日本', 'u-dit-xs-日本'],
    ['中国', 'u-dit-xs-中国'],
    ['cafe\u0301', 'u-dit-xs-caf\u00e9'],
  ])('for %s is %s', async (path, name) => {
    expect(await nameFor(path)).toBe(name);
  });

  test('is one for the same data, and never that of others', async () => {
    await startRun('u-dit-xs-pets', 'a/pets');
    await mkdir(join(root, 'b/pets'), { recursive: true });
    expect(await nameFor('a/pets')).toBe('u-dit-xs-pets');
    const other = await nameFor('b/pets');
    expect(other).toMatch(/^u-dit-xs-pets-[0-9a-f]{6}$/);
    await startRun(other, 'b/pets');
    expect(await nameFor('b/pets')).toBe(other);
    expect(await nameFor('c/pets')).not.toBe(other);
  });

  test('is that of the data before they moved', async () => {
    await startRun('u-dit-xs-pets', 'a/pets');
    await rename(join(root, 'a'), join(root, 'z'));
    expect(await nameFor('z/pets')).toBe('u-dit-xs-pets');
  });

  test('tells folders apart that have no letters', async () => {
    const [cat, dog] = [await nameFor('🐈'), await nameFor('🐕')];
    expect(cat).toMatch(/^u-dit-xs-[0-9a-f]{6}$/);
    expect(dog).not.toBe(cat);
  });

  test('is that of 0.1.0 where such a run is there', async () => {
    await startRun('u-dit-xs-caf-', 'café');
    expect(await nameFor('café')).toBe('u-dit-xs-caf-');
    await startRun('u-dit-xs-emoji', 'emoji');
    expect(await nameFor('emoji')).toBe('u-dit-xs-emoji');
    expect(await defaultRunName(configOn('x/emoji'), join(root, 'runs'))).toMatch(/^u-dit-xs-emoji-/);
  });
});
