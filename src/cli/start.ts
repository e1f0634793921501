/** @file `udit start`, the command behind `npm start`: pictures of the bundled model, a short training, and both compared. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { plural } from '../charts/format.ts';
import { quoted, uditCommand } from '../core/command.ts';
import { version } from '../core/version-node.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import type { Backend } from '../engine/runtime/session.ts';
import { sha256OfFile } from '../host/files/digest-node.ts';
import { makeFolder } from '../host/files/make-folder-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { BUNDLED_CHECKPOINT, findCheckpoint } from '../models/bundled-node.ts';
import { listCheckpoints } from '../models/run-checkpoints-node.ts';
import { countParameters } from '../networks/nn/module.ts';
import {
  drawCheckpointSheet,
  joinSheetFiles,
  type SheetComputing,
} from '../tasks/sampling/class-sheet-node.ts';
import { GRID_FILE } from '../tasks/sampling/sheet-names.ts';
import type { ConfigLayer } from '../tasks/training/config/config-layer.ts';
import { resolveTrainConfig, type TrainConfig } from '../tasks/training/config/train-config.ts';
import { measurePace } from '../tasks/training/run/pace.ts';
import { configOfRun } from '../tasks/training/run/run-config.ts';
import { UNWRITABLE } from '../tasks/training/run/run-folder.ts';
import type { RunResult } from '../tasks/training/run/training-run.ts';
import { planTraining, trainInFolder } from '../tasks/training/run/training-session.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { interruptible } from './failures.ts';
import { positiveNumber } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';
import { describeHeldOut, preparationProgress, watchRun } from './train-report.ts';

const DEFAULT_MINUTES = 4;
const DEFAULT_FOLDER = 'runs';

const BUNDLED_TITLE = 'The model that comes with udit';
const OWN_TITLE = 'The model trained here';

export interface StartFlags extends DeviceFlag {
  readonly minutes: number;
  readonly resultsDir: string;
  readonly json?: true;
}

/** What `udit start` shows and trains. */
export interface Introduction {
  /** The checkpoint whose pictures are shown first. */
  readonly bundled: string;
  readonly recipe: ConfigLayer;
  /** What is changed about the recipe where fewer steps than these fit into the session. Default: nothing. */
  readonly whereSlow?: { readonly fewerStepsThan: number; readonly change: ConfigLayer };
}

const INTRODUCTION: Introduction = {
  bundled: BUNDLED_CHECKPOINT,
  // The run is stopped by the clock, so its learning rate must not depend on how many steps there will be.
  recipe: {
    model: { preset: 'U-DiT-XS' },
    // In so few steps, pictures that keep their places and times around more noise give shapes of the class (LOG.md).
    data: { augment: 'none' },
    objective: { logitMean: -0.5, logitStd: 1.1 },
    optimizer: { schedule: 'constant', learningRate: 2e-3 },
    averages: [{ name: 'ema', kind: 'exponential', decay: 0.995, warmup: true }],
    training: { steps: 1_000_000 },
    logging: { ckptEvery: 100, evaluateEvery: 1_000_000, sampleEvery: null },
  },
  // Half the width makes three times as many steps; shapes come from steps (LOG.md).
  whereSlow: { fewerStepsThan: 400, change: { model: { width: 16, heads: 2 } } },
};

/** Of the session, the share in which its pace is measured. */
const MEASURED_SHARE = 0.02;

const EXAMPLES = `
Examples:
  npx udit start                       pictures of the bundled model, then a training of ${DEFAULT_MINUTES} minutes
  npx udit start                       again: trains the same model for ${DEFAULT_MINUTES} minutes more
  npx udit start --minutes 30          shapes become clearer with time
  npx udit start --results-dir tries   in tries/start instead of runs/start
`;

export function defineStart(command: Command, terminal: Terminal): void {
  command
    .option('--minutes <x>', 'training time of this session', positiveNumber, DEFAULT_MINUTES)
    .option('--results-dir <folder>', 'folder of runs', DEFAULT_FOLDER)
    .addOption(deviceOption())
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action((flags: StartFlags) => interruptible((signal) => start(flags, terminal, signal)));
}

/** Shows, trains and compares. The same call again goes on with the training. */
export async function start(
  flags: StartFlags,
  terminal: Terminal,
  signal: AbortSignal,
  { bundled, ...training }: Introduction = INTRODUCTION,
): Promise<void> {
  const runPath = join(flags.resultsDir, 'start');
  await expectHarmlessOutputs('--results-dir', [runPath]);
  const backend = await openDevice(flags.device);
  await makeFolder(runPath, UNWRITABLE);
  const computing = { backend, threads: physicalCores(), signal };
  const bundledSheet = await bundledSheetPath(bundled, runPath);
  try {
    await showBundled(bundled, bundledSheet, computing, terminal);
    const config = await chooseConfig(flags, training, runPath, computing, terminal);
    const result = await train(flags, { config, runPath, ...computing }, terminal);
    const ownSheet = join(runPath, GRID_FILE);
    await drawCheckpointSheet(result.checkpoint, ownSheet, computing);
    const compared = join(runPath, 'compared.png');
    const left = { path: bundledSheet, title: [BUNDLED_TITLE, await describeModel(bundled)] };
    const right = { path: ownSheet, title: [OWN_TITLE, await describeModel(result.checkpoint)] };
    await joinSheetFiles(compared, [left, right]);
    const report = flags.json ? jsonReport : textReport;
    terminal.out.write(report({ left, right, compared, result, flags, runPath }));
  } catch (error) {
    if (signal.aborted) terminal.err.write(await describeKept(bundledSheet, runPath, flags));
    throw error;
  }
}

/** Named by what it shows, so that a later start draws it again only where the model or udit has changed. */
async function bundledSheetPath(bundled: string, runPath: string): Promise<string> {
  const digest = await sha256OfFile(bundled);
  return join(runPath, `bundled-${version}-${digest.slice(0, 8)}.png`);
}

async function showBundled(
  bundled: string,
  path: string,
  computing: SheetComputing,
  { err }: Terminal,
): Promise<void> {
  if (!existsSync(path)) {
    err.write(`drawing with the model that comes with udit: ${await describeModel(bundled)}\n`);
    await drawCheckpointSheet(bundled, path, computing);
  }
  err.write(`its pictures: ${path}\n`);
}

/** A run that has begun goes on as it is; a new one is as large as this machine can train in the time. */
async function chooseConfig(
  { minutes }: StartFlags,
  { recipe, whereSlow }: Omit<Introduction, 'bundled'>,
  runPath: string,
  computing: Computing,
  { err }: Terminal,
): Promise<TrainConfig> {
  const earlier = await configOfRun(runPath);
  if (earlier !== undefined) return resolveTrainConfig([earlier]);
  const config = resolveTrainConfig([recipe]);
  if (whereSlow === undefined) return config;
  const measuringMs = minutes * 60_000 * MEASURED_SHARE;
  const options = { ...computing, version, observer: {} };
  const imagesPerSecond = await measurePace(config, join(runPath, 'pace'), measuringMs, options);
  const steps = Math.round((minutes * 60 * imagesPerSecond) / config.training.batchSize);
  if (steps >= whereSlow.fewerStepsThan) return config;
  err.write(
    `some ${steps} steps fit into ${plural(minutes, 'minute')}: a smaller network learns more in them\n`,
  );
  return resolveTrainConfig([recipe, whereSlow.change]);
}

interface Computing {
  readonly backend: Backend;
  readonly threads: number;
  readonly signal: AbortSignal;
}

interface Training extends Computing {
  readonly config: TrainConfig;
  readonly runPath: string;
}

async function train(
  { minutes }: StartFlags,
  { config, runPath, backend, threads, signal }: Training,
  terminal: Terminal,
): Promise<RunResult> {
  const watcher = watchRun(terminal, { runPath, lastStep: config.training.steps, seconds: minutes * 60 });
  const preparing = preparationProgress(terminal);
  const { observer } = watcher;
  try {
    const plan = await planTraining(config, { observer, onPreparing: preparing.update, signal, backend });
    preparing.stop();
    terminal.err.write(
      `training a new ${config.model.preset} (${millions(plan.parameterCount)} parameters) for ${plural(minutes, 'minute')} on ${plan.data.training.length} pictures\n`,
    );
    const stopAfterMs = minutes * 60_000;
    const options = { config, runPath, version, observer, backend, threads, signal, stopAfterMs };
    const result = await trainInFolder(plan, options);
    signal.throwIfAborted();
    return result;
  } finally {
    preparing.stop();
    watcher.stop();
  }
}

/** `U-DiT-XS, 4.6 M parameters, 696,000 pictures seen` */
async function describeModel(checkpoint: string): Promise<string> {
  const { card, network, close } = await findCheckpoint(checkpoint);
  await close();
  const parameters = millions(countParameters(network.parameters()));
  return `${card.name}, ${parameters} parameters, ${card.nimg.toLocaleString('en')} pictures seen`;
}

const millions = (count: number): string => `${(count / 1e6).toFixed(1)} M`;

/** A sheet, and which model has drawn it. */
interface ModelSheet {
  readonly path: string;
  readonly title: readonly string[];
}

interface Outcome {
  readonly left: ModelSheet;
  readonly right: ModelSheet;
  readonly compared: string;
  readonly result: RunResult;
  readonly flags: StartFlags;
  readonly runPath: string;
}

function textReport({ left, right, compared, result, flags, runPath }: Outcome): string {
  const commands = [
    [againCommand(flags), 'train this model for longer'],
    [uditCommand('sample', runPath, '--count', '8'), 'draw more from it'],
    [uditCommand('sample'), 'draw with the model that comes with udit'],
    [`${uditCommand('train', '--data-path')} <folder>`, 'train on your own pictures'],
  ] as const;
  const width = Math.max(...commands.map(([command]) => command.length));
  return [
    '',
    `side by side   ${compared}`,
    `at the left    ${left.title.join(': ')}`,
    `               ${left.path}`,
    `at the right   ${right.title.join(': ')}`,
    `               ${right.path}`,
    ...(result.heldOut === undefined ? [] : [`held-out loss  ${describeHeldOut(result.heldOut)}`]),
    '',
    'next:',
    ...commands.map(([command, effect]) => `  ${command.padEnd(width)}  ${effect}`),
    '',
  ].join('\n');
}

function jsonReport({ left, right, compared, result }: Outcome): string {
  const { checkpoint, step, heldOut } = result;
  const sheets = { compared, bundled: left.path, own: right.path };
  return `${JSON.stringify({ ...sheets, checkpoint, step, heldOut }, null, 2)}\n`;
}

/** Printed where the command was stopped: the files that exist, and the command that goes on. */
async function describeKept(bundledSheet: string, runPath: string, flags: StartFlags): Promise<string> {
  const checkpoint = (await listCheckpoints(join(runPath, 'checkpoints'))).at(-1)?.path;
  const kept = [existsSync(bundledSheet) ? bundledSheet : undefined, checkpoint].filter(
    (path) => path !== undefined,
  );
  return [...kept.map((path) => `kept: ${path}`), `to go on: ${againCommand(flags)}`, ''].join('\n');
}

/** The command as it was typed: by npm's script `start`, or by name. */
export function againCommand({ resultsDir, device }: StartFlags): string {
  const given = [
    ...(resultsDir === DEFAULT_FOLDER ? [] : ['--results-dir', resultsDir]),
    ...(device === 'cpu' ? [] : ['--device', device]),
  ];
  const isScript = process.env.npm_lifecycle_event === 'start';
  if (!isScript) return uditCommand('start', ...given);
  return ['npm', 'start', ...(given.length > 0 ? ['--', ...given.map(quoted)] : [])].join(' ');
}
