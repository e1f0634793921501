/** @file The command line as a whole: its commands, and how it ends. */
import { Command } from 'commander';
import { uditCommand } from '../core/command.ts';
import { version } from '../core/version-node.ts';
import { COMMANDS } from './commands.ts';
import { EXIT_CODES, Interruption, reportFailure } from './failures.ts';
import type { Terminal } from './terminal.ts';

const WELCOME = `
udit: U-shaped diffusion transformers in TypeScript

Three commands to try:
  npx udit sample             draw emoji with the model that comes with udit
  npx udit start              train a small model for four minutes, and compare its pictures
  npx udit inspect U-DiT-S    show the layers, parameters and cost of a model

All commands: npx udit --help
`;

const AFTER_HELP = `
Examples:
  npx udit start                 pictures of the bundled model, then a training of four minutes
  npx udit train                 train in runs/; again: continue
  npx udit data photos           look at your pictures as a model sees them
  npx udit plot runs/mine        draw its held-out loss against steps
  npx udit ablate GRID.json      train and compare the variants of a grid
  npx udit sample                draw emoji with the bundled model
  npx udit sample runs/mine      draw from a run's latest checkpoint
  npx udit fetch --list          published weights that can be downloaded
  npx udit bench                 measure speed and memory here
  npx udit inspect U-DiT-S       stages, parameters and cost of a model
  npx udit export --out a.onnx   the bundled model as one ONNX file
  npx udit sample --help         all options of a command

Exit codes: 0 done, 1 failure, 2 wrong usage (also a path or name that does not exist), 141 nobody has read
the results; stopped: 130 by Ctrl-C, 129 by a closed terminal, 143 by SIGTERM.
`;

const HELP_WIDTH = 100;

/**
 * The program; parsing runs the command that is asked for.
 *
 * @param needed - names of the commands that have arguments, options and an action; the others have names only
 */
export async function buildProgram(
  terminal: Terminal,
  needed: readonly string[] = COMMANDS.map(({ name }) => name),
): Promise<Command> {
  const program = new Command('udit')
    .description('U-shaped diffusion transformers: train them and draw images with them.')
    .version(version)
    .option('--verbose', 'show stack traces of errors')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: (text) => terminal.err.write(text),
      getOutHelpWidth: () => terminal.out.columns ?? HELP_WIDTH,
      getErrHelpWidth: () => terminal.err.columns ?? HELP_WIDTH,
    })
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (command) => `${command.name()} ${command.usage()}`,
    })
    .showHelpAfterError('(add --help for all options)')
    .addHelpText('after', AFTER_HELP);
  for (const { name, arguments: usage, summary, load } of COMMANDS) {
    const command = program.command(name).description(summary);
    if (needed.includes(name)) (await load())(command, terminal);
    else if (usage !== undefined) command.arguments(usage);
  }
  return program;
}

/**
 * Runs one command; without arguments it prints a welcome.
 *
 * @param args - without interpreter and script
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  if (args.length === 0) {
    terminal.out.write(WELCOME);
    return EXIT_CODES.ok;
  }
  // The name of another command may be a value: then its module is read for nothing.
  const program = await buildProgram(terminal, args);
  try {
    // The help of a command that is not there would be that of all.
    const isCommand = COMMANDS.some(({ name }) => name === args[0]) || args[0] === 'help';
    await program.parseAsync(isCommand || args[0]!.startsWith('-') ? args : args.slice(0, 1), {
      from: 'user',
    });
    return EXIT_CODES.ok;
  } catch (error) {
    const code = reportFailure(error, terminal, { verbose: program.opts().verbose === true });
    const goesOn = COMMANDS.find(({ name }) => name === args[0])?.goesOn;
    if (error instanceof Interruption && goesOn?.(args)) {
      terminal.err.write(`to go on: ${uditCommand(...args)}\n`);
    }
    return code;
  }
}
