/** @file `udit start`, the command behind `npm start`: a few minutes of training on real pictures, and what came of it. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { quoted } from '../core/printable.ts';
import { version } from '../core/version-node.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { drawFinalSheet } from '../tasks/sampling/class-sheet-node.ts';
import { resolveTrainConfig } from '../tasks/training/config/train-config.ts';
import { defaultsOfRun } from '../tasks/training/run/run-folder.ts';
import { planTraining, trainInFolder } from '../tasks/training/run/training-session.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { interruptible } from './failures.ts';
import { numberIn } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';
import { describeHeldOut, preparationProgress, watchRun } from './train-report.ts';

const DEFAULT_MINUTES = 4;

interface StartFlags extends DeviceFlag {
  readonly minutes: number;
  readonly resultsDir: string;
}

/** The run is stopped by the clock, so its learning rate must not depend on how many steps there will be. */
const START_CONFIG = {
  model: { preset: 'U-DiT-XS' },
  // In so few steps, pictures that keep their places and times around more noise give shapes of the class (LOG.md).
  data: { augment: 'none' },
  objective: { logitMean: -0.5, logitStd: 1.1 },
  optimizer: { schedule: 'constant', learningRate: 2e-3, emaDecay: 0.995 },
  training: { steps: 1_000_000 },
  logging: { ckptEvery: 100, evaluateEvery: 1_000_000, sampleEvery: null },
} as const;

export function registerStart(program: Command, terminal: Terminal): void {
  program
    .command('start')
    .description(`train a small U-DiT on emoji for ${DEFAULT_MINUTES} minutes and show what it draws`)
    .option('--minutes <x>', 'training time of this session', numberIn(0, 1e5), DEFAULT_MINUTES)
    .option('--results-dir <folder>', 'folder of runs', 'runs')
    .addOption(deviceOption())
    .action((flags: StartFlags) => interruptible((signal) => start(flags, terminal, signal)));
}

async function start(
  { minutes, resultsDir, device }: StartFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const runPath = join(resultsDir, 'start');
  await expectHarmlessOutputs('--results-dir', [runPath]);
  const backend = await openDevice(device);
  const config = resolveTrainConfig([await defaultsOfRun(runPath), START_CONFIG]);
  const threads = physicalCores();
  const watcher = watchRun(terminal, { runPath, until: { seconds: minutes * 60 } });
  const preparing = preparationProgress(terminal);
  try {
    const { observer } = watcher;
    const plan = await planTraining(config, { observer, onPreparing: preparing.update, signal, backend });
    preparing.stop();
    terminal.err.write(
      `training ${config.model.preset} (${(plan.parameterCount / 1e6).toFixed(1)} M parameters) for ${minutes} minutes on ${plan.data.training.length} emoji\n`,
    );
    const stopAfterMs = minutes * 60_000;
    const result = await trainInFolder(plan, {
      config,
      runPath,
      version,
      observer,
      backend,
      threads,
      signal,
      stopAfterMs,
    });
    watcher.stop();
    signal.throwIfAborted();
    const grid = await drawFinalSheet(result.checkpoint, join(runPath, 'grid.png'), {
      backend,
      threads,
      signal,
    });
    terminal.out.write(
      [
        '',
        `pictures       ${grid}`,
        ...(result.heldOut === undefined ? [] : [`held-out loss  ${describeHeldOut(result.heldOut)}`]),
        '',
        'next:',
        '  npm start                              train this model for longer',
        `  npx udit sample ${quoted(runPath)} --count 8      draw more from it`,
        '  npx udit sample                        draw with the model that comes with udit',
        '  npx udit train --data-path <folder>    train on your own pictures',
        '',
      ].join('\n'),
    );
  } finally {
    preparing.stop();
    watcher.stop();
  }
}
