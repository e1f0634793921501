/** @file Would a command line that a document shows be understood? Nothing is run. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildProgram } from '../../src/cli/program.ts';
import { REPOSITORY } from './documents.ts';
import { recordingTerminal } from './recording-terminal.ts';

const scripts: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(REPOSITORY, 'package.json'), 'utf8'),
).scripts;

/** Why the command would fail as wrong usage; undefined if it would not. */
export function commandProblem(command: string): string | undefined {
  const words = command.split(' ');
  const [program, ...args] = words[0] === 'npx' ? words.slice(1) : words;
  if (program === 'npm') return npmProblem(args);
  if (program === 'udit') return uditProblem(args);
  if (program === 'tsx' || program === 'vitest') return missingFile(args);
  return `there is no program ${program}`;
}

function npmProblem([verb, ...args]: readonly string[]): string | undefined {
  if (verb === 'ci' || verb === 'publish') return undefined;
  const [script, ...rest] = verb === 'run' ? args : [verb!, ...args];
  const line = Object.hasOwn(scripts, script!) ? scripts[script!] : undefined;
  if (line === undefined) return `package.json has no script ${script}`;
  const passedOn = rest[0] === '--' ? rest.slice(1) : [];
  if (rest.length > passedOn.length + 1) return 'npm takes these arguments for its own: put -- before them';
  const [interpreter, file, ...fixed] = line.split(' ');
  if (file === 'bin/udit.js') return uditProblem([...fixed, ...passedOn]);
  return interpreter === 'tsx' ? unknownFlag(file!, passedOn) : undefined;
}

/** A tool's flags are looked up in the sources beside it, which name each in its help. */
function unknownFlag(file: string, args: readonly string[]): string | undefined {
  const folder = join(REPOSITORY, dirname(file));
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const flag = args.find((arg) => arg.startsWith('--') && !sources.some((source) => source.includes(arg)));
  return flag === undefined ? undefined : `${file} does not know ${flag}`;
}

/** Arguments with a slash and an extension are files of the repository. */
function missingFile(args: readonly string[]): string | undefined {
  const file = args.find((arg) => /^[\w-]+\/.*\.\w+$/.test(arg) && !existsSync(join(REPOSITORY, arg)));
  return file === undefined ? undefined : `there is no file ${file}`;
}

const program = await buildProgram(recordingTerminal());

function uditProblem([name, ...args]: readonly string[]): string | undefined {
  const command = program.commands.find((candidate) => candidate.name() === name);
  if (command === undefined) return `udit has no command ${name}`;
  try {
    const { operands, unknown } = command.parseOptions([...args]);
    const flags = unknown.filter((arg) => arg !== '--help');
    if (flags.length > 0) return `udit ${name} does not know ${flags[0]}`;
    const takesAny = command.registeredArguments.some(({ variadic }) => variadic);
    if (!takesAny && operands.length > command.registeredArguments.length) {
      return `udit ${name} takes ${command.registeredArguments.length} arguments, not ${operands.length}`;
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
