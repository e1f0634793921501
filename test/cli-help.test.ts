/** @file The welcome, the help of every command, and commands that there are not. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { COMMANDS } from '../src/cli/commands.ts';
import { buildProgram } from '../src/cli/program.ts';
import { commandProblem } from './support/command-check.ts';
import { recordingTerminal } from './support/recording-terminal.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';

const udit = (...args: readonly string[]): Promise<Outcome> => runUdit(args, 'ROOT');

test('without arguments there is a welcome with commands that exist', async () => {
  const { code, out, err } = await udit();
  expect({ code, err }).toEqual({ code: 0, err: '' });
  await expect(out).toMatchFileSnapshot('help/welcome.txt');
  const commands = [...out.matchAll(/npx udit \w.*?(?= {2})/g)].map(([command]) => command);
  expect(commands).toHaveLength(3);
  expect(commands.map(commandProblem)).toEqual([undefined, undefined, undefined]);
});

test('of the program', async () => {
  const { code, out } = await udit('--help');
  expect(code).toBe(0);
  await expect(out).toMatchFileSnapshot('help/udit.txt');
});

test.each(COMMANDS.map(({ name }) => name))('of udit %s', async (name) => {
  const { code, out } = await udit(name, '--help');
  expect(code).toBe(0);
  await expect(out).toMatchFileSnapshot(`help/udit-${name}.txt`);
});

test('of the program needs no module of a command', async () => {
  const [names, whole] = [
    await buildProgram(recordingTerminal(), []),
    await buildProgram(recordingTerminal()),
  ];
  expect(names.commands.map(({ options }) => options.length)).toEqual(COMMANDS.map(() => 0));
  expect(names.helpInformation()).toBe(whole.helpInformation());
});

test('of a command that the program is asked for', async () => {
  expect(await udit('help', 'plot')).toEqual(await udit('plot', '--help'));
});

test('the version is the package’s', async () => {
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  expect(await udit('--version')).toEqual({ code: 0, out: `${manifest.version}\n`, err: '' });
});

test('the help of a command that does not exist', async () => {
  expect(await udit('sampel', '--help')).toEqual(await udit('sampel'));
});

test('a command that does not exist', async () => {
  expect(await udit('sampel')).toMatchInlineSnapshot(`
    {
      "code": 2,
      "err": "error: unknown command 'sampel'
    (Did you mean sample?)
    (add --help for all options)
    ",
      "out": "",
    }
  `);
});
