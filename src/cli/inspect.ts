/** @file `udit inspect`: what a model is made of and what it costs. */
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { ConfigError } from '../core/errors.ts';
import { formatImageSize } from '../core/image-size.ts';
import { writeFileAtomic } from '../host/files/atomic-write-node.ts';
import { expectFolderPossible, makeFolder } from '../host/files/make-folder-node.ts';
import { locateCheckpoint } from '../models/bundled-node.ts';
import type { ModelSpec } from '../networks/registry.ts';
import { counterpartOf } from '../tasks/inspection/counterpart.ts';
import { drawModel } from '../tasks/inspection/drawing.ts';
import { inspectNetwork } from '../tasks/inspection/inspect.ts';
import { layerOf } from '../tasks/training/config/config-layer.ts';
import { collectAssignments, parseAssignment } from './config-arguments.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { interruptible } from './failures.ts';
import { wholeNumber } from './flags.ts';
import { describeInspection } from './inspect-report.ts';
import { filesRead, modelFromArgument } from './model-argument.ts';
import { type SizeFlags, withSizeFlags } from './model-flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { spectrumOf } from './spectrum.ts';
import type { Terminal } from './terminal.ts';

interface InspectFlags extends DeviceFlag, SizeFlags {
  readonly set: readonly string[];
  readonly numClasses?: number;
  readonly batchSize: number;
  readonly svg?: string;
  readonly spectrum?: string;
  readonly pictures?: number;
  readonly seed?: number;
  readonly json?: true;
}

const DEFAULT_PRESET = 'U-DiT-XS';

const EXAMPLES = `
Examples:
  npx udit inspect                                   U-DiT-XS, the preset of udit train
  npx udit inspect U-DiT-B --image-size 512          a published model for larger pictures
  npx udit inspect U-DiT-S --set model.downFactor=1  without downsampled tokens, for comparison
  npx udit inspect runs/mine --svg mine.svg          a run's model, drawn
  npx udit inspect --spectrum spectrum.svg           frequencies in the features of the bundled emoji model
`;

export function defineInspect(command: Command, terminal: Terminal): void {
  const count = wholeNumber({ from: 1 });
  command
    .argument(
      '[model]',
      'preset, .json configuration, run folder, checkpoint or fetched weights ' +
        `(default: ${DEFAULT_PRESET}; with --spectrum the bundled model)`,
    )
    .optionsGroup('Which model:');
  withSizeFlags(command)
    .option('--num-classes <n>', 'number of classes', count)
    .option('--set <key=value>', 'any option of the model, as in model.width=48', collectAssignments, [])
    .optionsGroup('What to show:')
    .option('--batch-size <n>', 'images in a batch, for the memory of activations', count, 1)
    .option('--svg <file>', 'draw the model as a picture')
    .option('--json', 'print everything as JSON')
    .optionsGroup('What a trained network does:')
    .option(
      '--spectrum <file>',
      'measure the spatial frequencies of its features at every stage, and draw them',
    )
    .option('--pictures <n>', 'number of generated pictures, to which noise is added (default: 18)', count)
    .option('--seed <n>', 'seed of the pictures and the noise (default: 0)', wholeNumber({ from: 0 }))
    .addOption(deviceOption())
    .addHelpText('after', EXAMPLES)
    .action((model: string | undefined, flags: InspectFlags) =>
      interruptible((signal) => inspect(model, flags, terminal, signal)),
    );
}

const ELSEWHERE = { Failure: ConfigError, fix: 'choose another place with --svg' };

async function inspect(
  given: string | undefined,
  flags: InspectFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { imageSize, latentSize, numClasses, set, spectrum: spectrumFile, pictures, seed } = flags;
  if (spectrumFile === undefined && (pictures ?? seed) !== undefined) {
    throw new ConfigError({
      where: 'udit inspect',
      problem: `${pictures === undefined ? '--seed' : '--pictures'} belongs to --spectrum, which is not given`,
      fix: 'add --spectrum <file>, or leave it out',
    });
  }
  const sizes = Object.entries({ '--image-size': imageSize, '--latent-size': latentSize });
  const [flag, asked] = sizes.find(([, value]) => value !== undefined) ?? [];
  if (spectrumFile !== undefined && asked !== undefined) {
    throw new ConfigError({
      where: '--spectrum',
      problem: `frequencies are measured at the size of the training, but ${flag} is ${formatImageSize(asked)}`,
      fix: `leave ${flag} out`,
    });
  }
  const argument = given ?? (spectrumFile === undefined ? DEFAULT_PRESET : await locateCheckpoint(undefined));
  if (flags.svg !== undefined) {
    await expectHarmlessOutputs('--svg', [flags.svg], await filesRead(argument));
    await expectFolderPossible(dirname(resolve(flags.svg)), ELSEWHERE);
  }
  const { name, role, spec, network, size } = await modelFromArgument(argument, {
    sizes: flags,
    options: [
      ...(numClasses === undefined ? [] : [layerOf('model.numClasses', numClasses)]),
      ...set.map(parseAssignment),
    ],
  });
  const inspection = { role, spec, ...inspectNetwork(network, { batch: flags.batchSize, size }) };
  const measured =
    spectrumFile === undefined
      ? undefined
      : await describedSpectrum(argument, { ...flags, file: spectrumFile }, terminal, signal);
  const counterpart =
    role === 'denoiser' ? counterpartOf(spec as ModelSpec, inspection.macs.merged, size) : undefined;
  const spectrum = measured === undefined ? {} : { spectrum: measured.spectrum };
  const inspected = { name, spec, inspection, counterpart, ...spectrum };
  if (flags.svg !== undefined) {
    await makeFolder(dirname(resolve(flags.svg)), ELSEWHERE);
    await writeFileAtomic(resolve(flags.svg), [new TextEncoder().encode(drawModel(name, inspection))]);
  }
  terminal.out.write(
    flags.json === true
      ? `${JSON.stringify(inspected, null, 2)}\n`
      : describeInspection({ ...inspected, role, network }),
  );
  if (flags.svg !== undefined && flags.json !== true) terminal.out.write(`\ndrawn in ${flags.svg}\n`);
  if (measured !== undefined && flags.json !== true) terminal.out.write(`\n${measured.description}`);
}

/** The modules that sample and measure are read here, since the command starts sooner without them. */
async function describedSpectrum(...given: Parameters<typeof spectrumOf>) {
  const { describeSpectrum, spectrumOf } = await import('./spectrum.ts');
  const spectrum = await spectrumOf(...given);
  return { spectrum, description: describeSpectrum(spectrum) };
}
