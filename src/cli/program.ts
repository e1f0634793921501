/** @file The command line as a whole: its commands, and how it ends. */
import { Command } from 'commander';
import { version } from '../core/version-node.ts';
import { registerAblate } from './ablate.ts';
import { registerBench } from './bench.ts';
import { registerExport } from './export.ts';
import { EXIT_CODES, reportFailure } from './failures.ts';
import { registerFetch } from './fetch.ts';
import { registerInspect } from './inspect.ts';
import { registerPlot } from './plot.ts';
import { registerSample } from './sample.ts';
import { registerStart } from './start.ts';
import type { Terminal } from './terminal.ts';
import { registerTrain } from './train.ts';

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
  udit start                 pictures of the bundled model, then a training of four minutes
  udit train                 train in runs/; again: continue
  udit plot runs/mine        draw its held-out loss against steps
  udit ablate GRID.json      train and compare the variants of a grid
  udit sample                draw emoji with the bundled model
  udit sample runs/mine      draw from a run's latest checkpoint
  udit fetch --list          published weights that can be downloaded
  udit bench                 measure speed and memory here
  udit inspect U-DiT-S       stages, parameters and cost of a model
  udit export --out a.onnx   the bundled model as one ONNX file
  udit sample --help         all options of a command

Exit codes: 0 done, 1 failure, 2 wrong usage, 141 nobody has read the results; stopped: 130 by Ctrl-C,
129 by a closed terminal, 143 by SIGTERM.
`;

const HELP_WIDTH = 100;

/** @returns the program; parsing runs the command that is asked for */
export function buildProgram(terminal: Terminal): Command {
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
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(add --help for all options)')
    .addHelpText('after', AFTER_HELP);
  registerStart(program, terminal);
  registerTrain(program, terminal);
  registerAblate(program, terminal);
  registerPlot(program, terminal);
  registerSample(program, terminal);
  registerFetch(program, terminal);
  registerBench(program, terminal);
  registerInspect(program, terminal);
  registerExport(program, terminal);
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
  const program = buildProgram(terminal);
  try {
    await program.parseAsync(args, { from: 'user' });
    return EXIT_CODES.ok;
  } catch (error) {
    return reportFailure(error, terminal, { verbose: program.opts().verbose === true });
  }
}
