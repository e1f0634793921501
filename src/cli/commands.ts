/** @file The commands of `udit` as the help of the program lists them; the modules that define the rest are read on demand. */
import type { Command } from 'commander';
import type { Terminal } from './terminal.ts';

/** Adds arguments, options and the action to a command. */
export type DefineCommand = (command: Command, terminal: Terminal) => void;

export interface CommandEntry {
  readonly name: string;
  /** As commander writes them: `<needed>`, `[optional]`, `<several...>`. */
  readonly arguments?: string;
  /** One line. */
  readonly summary: string;
  /** Reads the command's module: the start of a command takes as long as the modules that it reads. */
  readonly load: () => Promise<DefineCommand>;
  /** Does the same command line go on where it was stopped? Those that are continued otherwise say so themselves. */
  readonly goesOn?: (args: readonly string[]) => boolean;
}

/** In the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'start',
    summary:
      'show pictures of the bundled model, train a small U-DiT on emoji for 4 minutes, and compare both',
    load: async () => (await import('./start.ts')).defineStart,
  },
  {
    name: 'train',
    summary: 'train a model; the same command again continues the run',
    load: async () => (await import('./train.ts')).defineTrain,
  },
  {
    name: 'data',
    arguments: '<data>',
    summary: 'look at pictures as a model sees them: classes, counts, a sheet, and what is passed over',
    load: async () => (await import('./data.ts')).defineData,
  },
  {
    name: 'encode',
    arguments: '<images>',
    summary: 'encode pictures and their mirror images into shards of latents, to train on',
    load: async () => (await import('./encode.ts')).defineEncode,
    goesOn: () => true,
  },
  {
    name: 'ablate',
    arguments: '<grid>',
    summary: 'train the variants of a JSON grid with several seeds, and compare them in a table and plots',
    load: async () => (await import('./ablate.ts')).defineAblate,
    goesOn: () => true,
  },
  {
    name: 'plot',
    arguments: '<runs...>',
    summary: 'draw a measurement of one or several runs against steps',
    load: async () => (await import('./plot.ts')).definePlot,
  },
  {
    name: 'sample',
    arguments: '[run]',
    summary: 'draw images from a checkpoint: PNG files, a labelled sheet, or an .npz archive',
    load: async () => (await import('./sample.ts')).defineSample,
    goesOn: () => true,
  },
  {
    name: 'evaluate',
    arguments: '<reference> <samples>',
    summary:
      'measure samples against a reference: FID, precision, recall and others, or SWD without a network',
    load: async () => (await import('./evaluate.ts')).defineEvaluate,
    goesOn: (args) => !args.includes('--no-cache'),
  },
  {
    name: 'fetch',
    arguments: '[name]',
    summary: 'download published weights by name, verified and once',
    load: async () => (await import('./fetch.ts')).defineFetch,
  },
  {
    name: 'bench',
    summary: 'measure speed and memory here: forward, sampling, training, encoding, decoding and loading',
    load: async () => (await import('./bench.ts')).defineBench,
  },
  {
    name: 'inspect',
    arguments: '[model]',
    summary: 'stages, parameters, multiply-accumulates, memory and attention cost of a model',
    load: async () => (await import('./inspect.ts')).defineInspect,
  },
  {
    name: 'export',
    arguments: '[run]',
    summary: 'write a checkpoint as standard ONNX, checked against the live model, or as plain weights',
    load: async () => (await import('./export.ts')).defineExport,
  },
];
