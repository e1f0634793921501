/** @file Everything between a resolved configuration and a training run: data, backend and folder. */
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../../../core/errors.ts';
import { expectOptions, type OptionTable } from '../../../core/options.ts';
import { type OpenedData, openData } from '../../../data/datasets/open-data-node.ts';
import { type Split, splitHeldOut } from '../../../data/datasets/split.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import { type HeldLock, type LockHolder, withLock } from '../../../host/files/lock-file-node.ts';
import { expectFolderPossible, expectRoomIn, makeFolder } from '../../../host/files/make-folder-node.ts';
import { type CheckpointFile, listCheckpoints } from '../../../models/run-checkpoints-node.ts';
import type { Families, Role } from '../../../networks/family.ts';
import { countParameters } from '../../../networks/nn/module.ts';
import type { RunConfig } from '../config/train-config.ts';
import { findInitialWeights, type InitialWeights } from './initial-weights.ts';
import { bindConfig, type ChangesAllowed } from './run-config.ts';
import { expectSameData, recordData } from './run-data.ts';
import { NO_ROOM, RunFolder, UNWRITABLE } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';
import type { DrawSamples, ScoreSamples } from './run-recorder.ts';
import { leastLearning, type RoleTrainedBy, type Trainee, traineeFor } from './trainee.ts';
import {
  checkpointBytes,
  expectEnoughMemory,
  type TrainingMemory,
  trainingMemory,
} from './training-memory.ts';
import { type RunOptions, type RunResult, runTraining } from './training-run.ts';

export interface SessionOptions<R extends Role = Role> extends ChangesAllowed {
  readonly config: RunConfig;
  /** The run's own folder. */
  readonly runPath: string;
  /** Default: the CPU. */
  readonly backend?: Backend;
  readonly threads: number;
  readonly version: string;
  readonly observer: RunObserver;
  /** Draws the sheets that `logging.sampleEvery` asks for, as `classSheets` does. Default: there are none. */
  readonly drawSamples?: DrawSamples<R>;
  /** Scores samples as `logging.scores` asks for, as `trainingScores` does. Default: there are no scores. */
  readonly scoreSamples?: ScoreSamples<R> | undefined;
  readonly onPreparing?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  readonly stopAfterStep?: number;
  readonly stopAfterMs?: number;
}

const SESSION_OPTIONS: OptionTable<SessionOptions> = {
  ...({
    config: 'needed',
    runPath: 'needed',
    threads: 'needed',
    version: 'needed',
    observer: 'needed',
  } as const),
  ...({
    backend: 'optional',
    drawSamples: 'optional',
    scoreSamples: 'optional',
    onPreparing: 'optional',
    signal: 'optional',
  } as const),
  ...({ stopAfterStep: 'optional', stopAfterMs: 'optional', extend: 'optional' } as const),
};

/** What a run would be, without touching the disk beyond the data's cache. */
export interface TrainingPlan<R extends Role = Role> {
  readonly trainee: Trainee<R>;
  readonly data: Split;
  /** All of the data, with what is known of their files. */
  readonly opened: OpenedData;
  readonly parameterCount: number;
  readonly memory: TrainingMemory;
}

/** What {@link planTraining} needs of a session. */
export interface PlanningOptions
  extends Pick<SessionOptions, 'onPreparing' | 'observer' | 'signal' | 'backend'> {
  /** Of one's own, which the model may be of: those that the configuration was resolved with. Default: none. */
  readonly families?: Families;
  /** Of a run that may have begun already, which must go on with its data. */
  readonly runPath?: string;
  /** The training may be for another machine, and need more memory than this one has. */
  readonly dryRun?: boolean;
}

const PLANNING_OPTIONS: OptionTable<PlanningOptions> = {
  observer: 'needed',
  onPreparing: 'optional',
  signal: 'optional',
  backend: 'optional',
  families: 'optional',
  runPath: 'optional',
  dryRun: 'optional',
};

/**
 * @throws ConfigError if the training cannot fit into memory, or for an option that does not exist
 * @throws the signal's reason when it is aborted while pictures are prepared
 */
export async function planTraining<Config extends RunConfig>(
  config: Config,
  options: PlanningOptions,
): Promise<TrainingPlan<RoleTrainedBy<Config>>> {
  expectOptions(options, 'planTraining', PLANNING_OPTIONS);
  const { onPreparing, observer, signal, backend = cpuBackend, families, runPath, dryRun = false } = options;
  // Before pictures are prepared: with a class at least, if nothing tells how many there are. Latents are prepared.
  if (!dryRun && config.data.kind !== 'latents') {
    expectEnoughMemory(leastLearning(config, families), config, backend.name);
  }
  const opened = await openData(config.data, {
    onWarning: (message) => observer.onWarning?.(message),
    onProgress: (done, total) => {
      signal?.throwIfAborted();
      onPreparing?.(done, total);
    },
  });
  const data = splitHeldOut(opened.samples, config.data.heldOutFraction);
  // Before other classes make another model of it.
  if (runPath !== undefined) await expectSameData(runPath, data, config);
  const trainee = traineeFor(config, opened.samples, families);
  return {
    data,
    opened,
    trainee,
    parameterCount: countParameters(trainee.learning.network.parameters()),
    memory: (dryRun ? trainingMemory : expectEnoughMemory)(trainee.learning, config, backend.name),
  };
}

/** What a run has before its first step. */
export type RunStart =
  | ({ readonly kind: 'checkpoint' } & CheckpointFile)
  | ({ readonly kind: 'weights' } & InitialWeights)
  | { readonly kind: 'random' };

/**
 * How {@link trainInFolder} would begin; writes nothing.
 *
 * @throws CheckpointError if it would begin with weights that cannot be read or do not fit
 */
export async function planStart(config: RunConfig, plan: TrainingPlan, runPath: string): Promise<RunStart> {
  const latest = (await listCheckpoints(join(runPath, 'checkpoints'))).at(-1);
  if (latest !== undefined) return { kind: 'checkpoint', ...latest };
  const { initFrom } = config.training;
  if (initFrom === null) return { kind: 'random' };
  return { kind: 'weights', ...(await findInitialWeights(initFrom, plan.trainee, config)) };
}

/**
 * Starts the run in its folder, or continues it there. Waits for another machine that trains it, until that gives no
 * sign of life any more.
 *
 *     const config = resolveTrainConfig([{ data: { path: 'photos' }, training: { steps: 2000 } }]);
 *     const plan = await planTraining(config, { observer: {} });
 *     await trainInFolder(plan, { config, observer: {}, runPath: 'runs/documented', threads: 1, version });
 *
 * @throws ConfigError if another process of this machine trains it, or nothing can be written there
 * @throws CheckpointError if the disk has no room for a checkpoint
 */
export async function trainInFolder<R extends Role>(
  plan: TrainingPlan<R>,
  options: SessionOptions<R>,
): Promise<RunResult> {
  expectOptions(options, 'trainInFolder', SESSION_OPTIONS);
  const { runPath, signal, observer, config } = options;
  await expectFolderPossible(runPath, UNWRITABLE);
  await expectRoomIn(runPath, checkpointBytes(plan.trainee.learning, config), NO_ROOM);
  const isNew = await makeFolder(runPath, UNWRITABLE);
  const onWait = ({ processId, host }: LockHolder) => {
    if (host === hostname()) {
      throw new ConfigError({
        where: runPath,
        problem: `process ${processId} trains this run`,
        fix: 'wait until it has ended, or start another run with --name',
      });
    }
    observer.onWarning?.(`process ${processId} of ${host} trains this run: waiting`);
  };
  const lock = { signal, onWait, Failure: ConfigError };
  let hasBegun = false;
  const onBegin = () => {
    hasBegun = true;
  };
  try {
    return await withLock(join(runPath, 'training.lock'), lock, (held) =>
      trainAlone(plan, { ...options, onBegin }, held),
    );
  } catch (error) {
    // A run that could not begin leaves nothing that the next one would have to agree with.
    if (isNew && !hasBegun) await rm(runPath, { recursive: true, force: true });
    throw error;
  }
}

/** {@link trainInFolder}, alone in its folder. */
async function trainAlone<R extends Role>(
  plan: TrainingPlan<R>,
  options: SessionOptions<R> & Pick<RunOptions<R>, 'onBegin'>,
  lock: HeldLock,
): Promise<RunResult> {
  const { config, runPath, version, backend = cpuBackend, threads, ...limits } = options;
  const { shards } = config.training;
  const folder = await RunFolder.open(runPath, lock);
  await expectSameData(runPath, plan.data, config, options.observer);
  const changes = await bindConfig(runPath, config, version, options);
  if (changes.length > 0) options.observer.onChangedOptions?.(changes, config);
  await recordData(runPath, plan.data);
  const reached = (await listCheckpoints(folder.checkpoints)).at(-1)?.step ?? 0;
  // Told only now that there is a folder to log it in; a finished run has been told.
  if (reached < config.training.steps) options.observer.onData?.(plan.opened, config.data);
  return runTraining({
    ...limits,
    config,
    folder,
    data: plan.data,
    trainee: plan.trainee,
    backend,
    // Shards work at the same time only in threads of their own. On one thread they take turns in this one.
    session: {
      threads: Math.max(1, Math.floor(threads / shards)),
      ...(shards > 1 && threads > 1 ? { workers: 1 } : {}),
    },
    version,
  });
}
