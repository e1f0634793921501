/** @file `udit train`: starts a run in its folder, or continues it there. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { formatBytes } from '../core/byte-size.ts';
import { uditCommand } from '../core/command.ts';
import { ConfigError } from '../core/errors.ts';
import { writtenImageSize } from '../core/image-size.ts';
import { USUAL_LATENTS, usualSpace } from '../core/image-space.ts';
import { version } from '../core/version-node.ts';
import { DATA_KINDS, type DataConfig, dataName } from '../data/datasets/data-config.ts';
import { sheetLegend } from '../data/images/sheet.ts';
import { SAMPLERS } from '../diffusion/samplers.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import type { Backend } from '../engine/runtime/session.ts';
import { expectFolderPossible } from '../host/files/make-folder-node.ts';
import { memoryLimit } from '../host/machine/memory-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import { PRESETS } from '../networks/presets.ts';
import { imageShapeOf } from '../networks/trace.ts';
import type { EvaluationDecoder } from '../tasks/evaluation/latent-pictures.ts';
import type { TrainingScores } from '../tasks/evaluation/training-scores-node.ts';
import { networkMacs } from '../tasks/inspection/network-cost.ts';
import { classSheets, type SheetComputing } from '../tasks/sampling/class-sheet-node.ts';
import type { CompiledDecoder } from '../tasks/sampling/latent-decoder.ts';
import { reconstructionSheets } from '../tasks/sampling/reconstruction-sheet-node.ts';
import { type ConfigLayer, layerOf, overlay } from '../tasks/training/config/config-layer.ts';
import { DEFAULT_PRESET, namedRecipe, RECIPES } from '../tasks/training/config/recipes.ts';
import {
  presetOf,
  type RunConfig,
  resolveRunConfig,
  SCORE_NAMES,
  trainsAutoencoder,
} from '../tasks/training/config/train-config.ts';
import { aboveInitialModel } from '../tasks/training/run/initial-weights.ts';
import { withRecognisedData } from '../tasks/training/run/recognised-data.ts';
import { changesToRun, configForRun, configOfRun } from '../tasks/training/run/run-config.ts';
import { UNWRITABLE } from '../tasks/training/run/run-folder.ts';
import { defaultRunName, expectRunName } from '../tasks/training/run/run-name.ts';
import type { DrawSamples, ScoreSamples } from '../tasks/training/run/run-recorder.ts';
import { expectFits } from '../tasks/training/run/training-memory.ts';
import type { RunResult } from '../tasks/training/run/training-run.ts';
import {
  planStart,
  planTraining,
  type RunStart,
  type TrainingPlan,
  trainInFolder,
} from '../tasks/training/run/training-session.ts';
import { collectAssignments, parseAssignment, readConfigFile } from './config-arguments.ts';
import { describeFiles, filesAsData } from './data-report.ts';
import { compileDecoder, describeWeights, openLatents } from './decoder.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { withLatents } from './encoded-data.ts';
import { interruptible } from './failures.ts';
import {
  imageSize,
  listAmong,
  namingFlags,
  numberIn,
  positiveNumber,
  threadCount,
  wholeNumber,
} from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';
import { describeHeldOut, describeInitialWeights, preparationProgress, watchRun } from './train-report.ts';
import { openTrainingScores } from './training-scores.ts';

interface TrainFlags extends DeviceFlag {
  readonly config?: string;
  readonly resultsDir: string;
  readonly name?: string;
  readonly resume?: string;
  readonly recipe?: (typeof RECIPES)[number];
  readonly extend?: true;
  readonly autoencoder?: string;
  readonly set: readonly string[];
  readonly threads?: number;
  readonly stopAfter?: number;
  readonly maxMinutes?: number;
  readonly dryRun?: true;
  readonly json?: true;
  readonly [flag: string]: unknown;
}

/** Flags that are another spelling of a configuration key; the first seven are DiT's. */
const KEY_OF_FLAG: Readonly<Record<string, string>> = {
  model: 'model.preset',
  dataPath: 'data.path',
  imageSize: 'data.imageSize',
  numClasses: 'model.numClasses',
  globalBatchSize: 'training.batchSize',
  globalSeed: 'training.seed',
  ckptEvery: 'logging.ckptEvery',
  logEvery: 'logging.logEvery',
  sampleEvery: 'logging.sampleEvery',
  evaluateEvery: 'logging.evaluateEvery',
  evaluateWith: 'logging.scores',
  evaluateMetricsEvery: 'logging.scoreEvery',
  evaluateSamples: 'logging.scoreSamples',
  evaluateSampler: 'logging.scoreSampling.sampler',
  evaluateSamplingSteps: 'logging.scoreSampling.steps',
  evaluateCfgScale: 'logging.scoreSampling.cfgScale',
  evaluateAgainst: 'logging.scoreReference',
  keepBest: 'logging.keepBest',
  steps: 'training.steps',
  lr: 'optimizer.learningRate',
  strict: 'data.strict',
  initFrom: 'training.initFrom',
  initClasses: 'training.initClasses',
  latentSize: 'model.inputSize',
};

const DATA_PATHS = new Intl.ListFormat('en', { type: 'disjunction' }).format(
  Object.values(DATA_KINDS).map(({ path }) => path),
);

const EXAMPLES = `
Examples:
  npx udit train                                            U-DiT-XS on the emoji that come with udit
  npx udit train --data-path ./photos --image-size 64       your folder of class folders
  npx udit train --model DiT-S/4 --global-batch-size 32 --set optimizer.clipNorm=1
  npx udit train --model U-DiT-S --data-path ./latents      of udit encode, fast-DiT, DiCo, EDM2, REPA, U-ViT, LightningDiT
  npx udit train --data-path ./photos --init-from runs/pets --name pets-2 --lr 0.0003
                                                            fine-tune the weights of another run
  npx udit train --model autoencoder --data-path emoji-3d   pictures to latents and back
  npx udit train --config my-run.json --dry-run             show the configuration, and stop
  npx udit train --resume runs/pets --steps 20k --extend    train a finished run for longer

Running the same command again continues the run, and so does its name alone: options that are not given are those of
the run. Ctrl-C stops it after writing a checkpoint.
`;

export function defineTrain(command: Command, terminal: Terminal): void {
  const size = (text: string) => writtenImageSize(imageSize(text));
  const count = wholeNumber({ from: 1 });
  command
    .optionsGroup('What to train:')
    .option('--model <preset>', 'such as U-DiT-S, DiT-B/4, SiT-XL/2, or autoencoder (default: U-DiT-XS)')
    .option('--data-path <path>', `${DATA_PATHS} (default: emoji)`)
    .option(
      '--image-size <size>',
      'of the pictures in pixels, also of encoded ones: side, or height x width as in 48x32 (default: 32)',
      size,
    )
    .addOption(
      new Option('--latent-size <size>', 'of the latents instead, where the data are latents')
        .argParser(size)
        .conflicts('imageSize'),
    )
    .option('--num-classes <n>', 'more classes than the data has', count)
    .option(
      '--autoencoder <name>',
      'encodes pictures to latents, and decodes sheets: a fetched one, a file or a run',
    )
    .option('--strict', 'an image that cannot be read is an error')
    .optionsGroup('How to train it (by default as its recipe says):')
    .addOption(
      new Option('--recipe <name>', "the paper's settings, or those for a laptop, for any model").choices(
        RECIPES,
      ),
    )
    .option('--config <file>', 'JSON configuration; flags win over it')
    .option(
      '--set <key=value>',
      'any key of the configuration, as in optimizer.clipNorm=1',
      collectAssignments,
      [],
    )
    .option('--steps <n>', 'optimizer updates in all', count)
    .option('--global-batch-size <n>', 'images per update', count)
    .option('--lr <x>', 'learning rate', positiveNumber)
    .option('--global-seed <n>', 'seed of all random numbers', wholeNumber({ from: 0 }))
    .option('--init-from <checkpoint>', 'initial weights: a run, a file, or the name of fetched weights')
    .addOption(
      new Option(
        '--init-classes <how>',
        'class tables that do not fit: drawn anew, or averaged from the old classes',
      ).choices(['new', 'average']),
    )
    .optionsGroup('Where it goes:')
    .option('--results-dir <folder>', 'folder of runs', 'runs')
    .option('--name <name>', 'name of this run (default: from model and data)')
    .addOption(
      new Option('--resume <run>', 'folder of the run to go on with; all options are its own').conflicts([
        'name',
        'resultsDir',
      ]),
    )
    .option('--extend', 'with --steps: train a run for longer, its cosine drawn over all steps')
    .option('--log-every <n>', 'steps between lines of stats.jsonl', count)
    .option('--evaluate-every <n>', 'steps between held-out losses', count)
    .addOption(
      new Option(
        '--evaluate-with <list>',
        `scores of samples against the data, of ${SCORE_NAMES.join()}`,
      ).argParser(listAmong(SCORE_NAMES)),
    )
    .option('--evaluate-metrics-every <n>', 'steps between scores (default: as held-out losses)', count)
    .option('--evaluate-samples <n>', 'samples that are drawn for scores (default: 2000)', count)
    .addOption(
      new Option(
        '--evaluate-sampler <name>',
        'sampler of these samples (default: as udit sample chooses)',
      ).choices(Object.keys(SAMPLERS)),
    )
    .option('--evaluate-sampling-steps <n>', 'its steps (default: as udit sample chooses)', count)
    .option('--evaluate-cfg-scale <s>', 'guidance of these samples; 1 is none', numberIn(0, 1e6))
    .option(
      '--evaluate-against <file>',
      'statistics of udit evaluate --save-statistics, or of ADM, in place of the data: fid and sfid',
    )
    .addOption(
      new Option('--keep-best <score>', 'keep the checkpoint that has the least of this score').choices(
        SCORE_NAMES,
      ),
    )
    .option('--sample-every <n>', 'steps between sample sheets', count)
    .option('--ckpt-every <n>', 'steps between checkpoints', count)
    .optionsGroup('This session:')
    .option('--stop-after <n>', 'stop at this step; the run can be continued', count)
    .option('--max-minutes <x>', 'stop after this time; the run can be continued', numberIn(0, 1e6))
    .addOption(deviceOption())
    .option('--threads <n>', 'CPU threads (default: one per core)', threadCount)
    .option('--dry-run', 'print configuration, model and data, and stop')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action((flags: TrainFlags) =>
      interruptible((signal) => namingFlags(givenKeys(flags), () => train(flags, terminal, signal))),
    );
}

async function train(flags: TrainFlags, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { config, runPath } = await runFromFlags(flags, terminal, signal);
  await expectHarmlessOutputs('--results-dir', [runPath]);
  await expectFolderPossible(runPath, UNWRITABLE);
  const watcher = watchRun(terminal, {
    runPath,
    lastStep: Math.min(config.training.steps, flags.stopAfter ?? Infinity),
    seconds: flags.maxMinutes === undefined ? undefined : flags.maxMinutes * 60,
  });
  const preparing = preparationProgress(terminal);
  let decoder: CompiledDecoder | undefined;
  let scoreSamples: TrainingScores | undefined;
  try {
    const { observer } = watcher;
    const backend = await openDevice(flags.device);
    const plan = await planTraining(config, {
      observer,
      onPreparing: preparing.update,
      signal,
      backend,
      runPath,
      dryRun: flags.dryRun === true,
    });
    preparing.stop();
    if (flags.dryRun === true) {
      const start = await planStart(config, plan, runPath);
      terminal.out.write(describePlan(config, plan, start, runPath, flags.json === true));
      // It may be meant for another machine; here it would be refused.
      expectFits(plan.memory, config);
      return;
    }
    const threads = flags.threads ?? physicalCores();
    const decoding = await decodingFor(config, plan, flags, terminal, backend);
    decoder = decoding?.decoder;
    scoreSamples = await openTrainingScores(config, plan, { backend, threads, signal, decoding });
    const result = await trainInFolder(plan, {
      config,
      runPath,
      version,
      backend,
      observer: {
        ...observer,
        onBegin: () => {
          for (const line of [...noteNetwork(plan), ...noteSheets(config, plan)]) watcher.say(line);
        },
      },
      drawSamples: sheetsOf(config, plan, { backend, threads, signal, autoencoder: decoder }),
      scoreSamples: scoreSamples as ScoreSamples | undefined,
      threads,
      signal,
      extend: flags.extend,
      ...(flags.stopAfter === undefined ? {} : { stopAfterStep: flags.stopAfter }),
      ...(flags.maxMinutes === undefined ? {} : { stopAfterMs: flags.maxMinutes * 60_000 }),
    });
    watcher.stop();
    terminal.out.write(
      flags.json === true
        ? `${JSON.stringify({ run: runPath, ...result })}\n`
        : describeResult(runPath, config, result),
    );
    signal.throwIfAborted();
  } finally {
    preparing.stop();
    watcher.stop();
    await decoder?.release();
    await scoreSamples?.release();
  }
}

/** What decodes latents for sheets and scores, if the run is of latents and their autoencoder is on this machine. */
async function decodingFor(
  { logging }: RunConfig,
  { trainee: { card, learning } }: TrainingPlan,
  { autoencoder: asked }: TrainFlags,
  terminal: Terminal,
  backend: Backend,
): Promise<EvaluationDecoder | undefined> {
  const isShown = logging.sampleEvery !== null || logging.scores.length > 0;
  if (card.role === 'autoencoder' || card.role === 'features' || !isShown) return undefined;
  const { network } = learning;
  const latents = await openLatents({ card, network }, { autoencoder: asked }, terminal);
  const size = trainedSizeOf(network.config);
  try {
    const decoder = latents && (await compileDecoder(latents, {}, { backend, size }));
    return decoder && { decoder, weights: await describeWeights(latents.autoencoder!) };
  } finally {
    await latents?.autoencoder?.close();
  }
}

/** Classes of a denoiser; of an autoencoder pictures that it never saw, each beside what it makes of them. */
function sheetsOf(
  config: RunConfig,
  { data: { training, heldOut } }: TrainingPlan,
  computing: SheetComputing,
): DrawSamples {
  const pictures = heldOut.length > 0 ? heldOut : training;
  const sheets = trainsAutoencoder(config)
    ? reconstructionSheets(pictures, computing)
    : classSheets({ ...computing, seed: config.training.seed });
  return sheets as DrawSamples;
}

async function runFromFlags(
  flags: TrainFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<{ config: RunConfig; runPath: string }> {
  const given = await withLatents(await layersOf(flags), flags, terminal, signal);
  const named = await namedRun(flags);
  const hasBegun = named !== undefined && (await configOfRun(named)) !== undefined;
  const layers = hasBegun ? given : await aboveInitialModel(given);
  const runPath =
    named ?? join(flags.resultsDir, await defaultRunName(resolveRunConfig(layers), flags.resultsDir));
  const config = withAbsolutePaths(await configForRun(runPath, layers));
  expectLatents(flags, config);
  await changesToRun(runPath, config, flags);
  return { config, runPath };
}

/** The configuration keys that flags give, each with its flag. */
function givenKeys(flags: TrainFlags): ReadonlyMap<string, string> {
  const given = Object.entries(KEY_OF_FLAG).filter(([flag]) => flags[flag] !== undefined);
  return new Map(
    given.map(([flag, key]) => [key, `--${flag.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`]),
  );
}

/** @throws ConfigError if the side of latents is given for pictures */
function expectLatents({ latentSize }: TrainFlags, { data }: RunConfig): void {
  if (latentSize === undefined || data.kind === 'latents') return;
  throw new ConfigError({
    where: '--latent-size',
    problem: `latents of ${latentSize} are requested, but ${dataName(data)} holds pixels`,
    fix: `use --image-size ${latentSize}`,
  });
}

/** What the command line says of the configuration: a file, and flags over it. */
async function layersOf(flags: TrainFlags): Promise<ConfigLayer[]> {
  const layers: ConfigLayer[] = [];
  if (flags.config !== undefined) layers.push(await readConfigFile(flags.config));
  for (const [flag, key] of Object.entries(KEY_OF_FLAG)) {
    if (flags[flag] !== undefined) layers.push(layerOf(key, flags[flag]));
  }
  for (const assignment of flags.set) layers.push(parseAssignment(assignment));
  const given = await withRecognisedData(layers);
  if (flags.recipe === undefined) return given;
  return [namedRecipe(flags.recipe, presetOf(given) ?? DEFAULT_PRESET, given.reduce(overlay, {})), ...given];
}

/** The folder of the run that the command line names, if it names one. */
async function namedRun({ resume, name, resultsDir }: TrainFlags): Promise<string | undefined> {
  if (resume !== undefined) return expectRun(resume);
  return name === undefined ? undefined : join(resultsDir, expectRunName(name));
}

async function expectRun(runPath: string): Promise<string> {
  if ((await configOfRun(runPath)) !== undefined) return runPath;
  throw new ConfigError({
    where: '--resume',
    problem: `there is no run in ${runPath}: it has no config.json`,
    fix: 'give the folder of a run, such as runs/u-dit-xs-emoji, or begin one with --name',
  });
}

/** A run may be continued from another working directory. */
function withAbsolutePaths(config: RunConfig): RunConfig {
  const { data, training, logging } = config;
  const { initFrom } = training;
  const { scoreReference: reference } = logging;
  // What is not there is the name of fetched weights, or reported by who looks for it.
  const found = initFrom !== null && existsSync(initFrom) ? resolve(initFrom) : initFrom;
  return {
    ...config,
    data: withAbsolutePath(data),
    training: { ...training, initFrom: found },
    logging: { ...logging, ...(reference === undefined ? {} : { scoreReference: resolve(reference) }) },
  };
}

function withAbsolutePath(data: DataConfig): DataConfig {
  return 'path' in data ? { ...data, path: resolve(data.path) } : data;
}

function describePlan(
  config: RunConfig,
  plan: TrainingPlan,
  start: RunStart,
  runPath: string,
  json: boolean,
): string {
  const { data, opened, trainee, parameterCount, memory } = plan;
  const memoryBytes = memory.state + memory.step;
  const limit = memoryLimit();
  const excess = memoryBytes > limit ? `: more than the ${formatBytes(limit)} that there are` : '';
  if (json) {
    const described = {
      run: runPath,
      config,
      start,
      model: trainee.card.spec,
      parameters: parameterCount,
      input: opened.samples.shape,
      macs: networkMacs(trainee.learning.network),
      memoryBytes,
      ...filesAsData(opened),
    };
    return `${JSON.stringify(described)}\n`;
  }
  return [
    `run         ${runPath}`,
    `model       ${config.model.preset}, ${parameterCount.toLocaleString('en')} parameters`,
    ...noteNetwork(plan).map((line, i) => `${(i === 0 ? 'input' : '').padEnd(11)} ${line}`),
    `memory      at least ${formatBytes(memoryBytes)}, of which a step takes ${formatBytes(memory.step)}${excess}`,
    `data        ${data.training.length} training and ${data.heldOut.length} held-out pictures in ${data.training.classNames.length} classes`,
    ...describeFiles(opened, config.data).map(([label, text]) => `${label.padEnd(11)} ${text}`),
    `start       ${describeStart(start)}`,
    `network     ${trainee.card.spec.family} ${JSON.stringify(trainee.card.spec.config, null, 2)}`,
    `config      ${JSON.stringify(config, null, 2)}`,
    '',
  ].join('\n');
}

/** What the network takes and costs; and a warning where a model that others train on latents is given pixels. */
function noteNetwork({ opened: { samples }, trainee: { card, learning } }: TrainingPlan): string[] {
  const { shape, space } = samples;
  const cost = `${(networkMacs(learning.network) / 1e9).toPrecision(3)} GMACs an image`;
  const input = `${card.name} takes ${shape.join('×')} ${space.kind}: ${cost}`;
  const published = PRESETS[card.name]?.config;
  if (
    space.kind !== 'pixels' ||
    published === undefined ||
    usualSpace(published.inChannels).kind === 'pixels'
  ) {
    return [input];
  }
  const [, side] = imageShapeOf(published);
  return [
    input,
    `warning: ${card.name} was published for latents ${imageShapeOf(published).join('×')}, as of pictures of ${side * USUAL_LATENTS.factor} pixels; here it is given pixels themselves`,
  ];
}

/** What sheets have numbers for in place of names. */
function noteSheets(config: RunConfig, { data: { training } }: TrainingPlan): string[] {
  const { logging } = config;
  const legend = sheetLegend(training.classNames.map((name, label) => ({ name, label })));
  return legend === undefined || logging.sampleEvery === null || trainsAutoencoder(config)
    ? []
    : [`on sheets of samples ${legend}`];
}

function describeStart(start: RunStart): string {
  switch (start.kind) {
    case 'checkpoint':
      return `at step ${start.step} from ${start.path}`;
    case 'weights':
      return `with ${describeInitialWeights(start)}`;
    case 'random':
      return 'with random weights';
  }
}

function describeResult(
  runPath: string,
  config: RunConfig,
  { step, finished, checkpoint, heldOut }: RunResult,
): string {
  const lines = [`${finished ? 'finished' : 'stopped'} at step ${step}`];
  if (heldOut !== undefined) lines.push(`held-out loss  ${describeHeldOut(heldOut)}`);
  lines.push(`checkpoint     ${checkpoint}`, useOf(config, runPath));
  if (!finished) lines.push(`go on          ${uditCommand('train', '--resume', runPath)}`);
  return `${lines.join('\n')}\n`;
}

/** What comes after the training of such a network. */
function useOf(config: RunConfig, runPath: string): string {
  if (!trainsAutoencoder(config)) return `draw from it   ${uditCommand('sample', runPath)}`;
  const pictures = [dataName(config.data), '--image-size', String(config.data.imageSize)];
  return `encode with it ${uditCommand('encode', ...pictures, '--autoencoder', runPath, '--out', 'LATENTS')}`;
}
