/** @file `udit inspect`: what a model is made of and what it costs. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { writeFileAtomic } from '../files/atomic-write-node.ts';
import { counterpartOf } from '../inspect/counterpart.ts';
import { drawModel } from '../inspect/drawing.ts';
import { inspectModel } from '../inspect/inspect.ts';
import { layerOf } from '../train/config-layer.ts';
import { collectAssignments, parseAssignment } from './config-arguments.ts';
import { wholeNumber } from './flags.ts';
import { describeInspection } from './inspect-report.ts';
import { modelFromArgument } from './model-argument.ts';
import type { Terminal } from './terminal.ts';

interface InspectFlags {
  readonly set: readonly string[];
  readonly imageSize?: number;
  readonly numClasses?: number;
  readonly batchSize: number;
  readonly svg?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  udit inspect                                   U-DiT-XS, the preset of udit train
  udit inspect U-DiT-B --image-size 64           a published model on larger latents
  udit inspect U-DiT-S --set model.downFactor=1  what downsampling of tokens saves
  udit inspect runs/mine --svg mine.svg          a run's model, drawn
`;

export function registerInspect(program: Command, terminal: Terminal): void {
  const count = wholeNumber({ from: 1 });
  program
    .command('inspect')
    .description('stages, parameters, multiply-accumulates, memory and attention cost of a model')
    .argument('[model]', 'preset, .json configuration, run folder, checkpoint or fetched weights', 'U-DiT-XS')
    .optionsGroup('Which model:')
    .option('--image-size <n>', 'height and width of the input', count)
    .option('--num-classes <n>', 'number of classes', count)
    .option('--set <key=value>', 'any option of the model, as in model.width=48', collectAssignments, [])
    .optionsGroup('What to show:')
    .option('--batch-size <n>', 'images at once, for the memory of activations', count, 1)
    .option('--svg <file>', 'draw the model as a picture')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', EXAMPLES)
    .action((model: string, flags: InspectFlags) => inspect(model, flags, terminal));
}

async function inspect(argument: string, flags: InspectFlags, terminal: Terminal): Promise<void> {
  const { imageSize, numClasses, set } = flags;
  const model = await modelFromArgument(argument, {
    ...(imageSize === undefined ? {} : { imageSize }),
    options: [
      ...(numClasses === undefined ? [] : [layerOf('model.numClasses', numClasses)]),
      ...set.map(parseAssignment),
    ],
  });
  const inspection = inspectModel(model.spec, { batch: flags.batchSize });
  const inspected = { ...model, inspection, counterpart: counterpartOf(model.spec, inspection.macs.merged) };
  if (flags.svg !== undefined) {
    await writeFileAtomic(resolve(flags.svg), [new TextEncoder().encode(drawModel(model.name, inspection))]);
  }
  terminal.out.write(
    flags.json === true ? `${JSON.stringify(inspected, null, 2)}\n` : describeInspection(inspected),
  );
  if (flags.svg !== undefined && flags.json !== true) terminal.out.write(`\ndrawn in ${flags.svg}\n`);
}
