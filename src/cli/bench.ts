/** @file `udit bench`: how fast this machine loads, runs, samples and trains a model, also against PyTorch. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { ConfigError, RuntimeUnavailableError } from '../core/errors.ts';
import type { ImageSize } from '../core/image-size.ts';
import { version } from '../core/version-node.ts';
import { SAMPLERS, type SamplerName } from '../diffusion/samplers.ts';
import { macsOf, sumMacs, totalMacs } from '../engine/graph/macs.ts';
import { DEVICE_REQUESTS, type DeviceRequest, findDevice } from '../engine/runtime/devices-node.ts';
import type { BackendName } from '../engine/runtime/session.ts';
import { makeFolder } from '../host/files/make-folder-node.ts';
import { memoryLimit } from '../host/machine/memory-node.ts';
import { ROLES, type Role } from '../networks/family.ts';
import { PRECISIONS, type Precision } from '../networks/precision.ts';
import { anyPreset, presetSpec, roleOfSpec } from '../networks/presets.ts';
import { createModel } from '../networks/registry.ts';
import { traceNetwork } from '../networks/trace.ts';
import { type ContestResult, runContest } from '../tasks/bench/contest.ts';
import { findPeers, PEER_MODES, type PeerMode, type Peers } from '../tasks/bench/peer.ts';
import {
  type BenchRequest,
  isSingleRun,
  planBench,
  TASKS,
  TASKS_OF,
  type Task,
} from '../tasks/bench/plan.ts';
import { contestAsData, contestTitle, formatContest, formatCores } from '../tasks/bench/report.ts';
import { singleRun } from '../tasks/bench/single-run.ts';
import { workloadBytes } from '../tasks/bench/workload-memory.ts';
import { interruptible } from './failures.ts';
import { imageSize, listAmong, listOf, numberIn, wholeNumber } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';

interface BenchFlags {
  readonly task?: readonly Task[];
  readonly model?: string;
  readonly batch?: readonly number[];
  readonly imageSize?: ImageSize;
  readonly steps: number;
  readonly sampler?: SamplerName;
  readonly cfgScale?: number;
  readonly workers: readonly number[];
  readonly threads: readonly number[];
  readonly precision: readonly Precision[];
  readonly device: readonly DeviceRequest[];
  readonly peer: boolean;
  readonly peerPython?: readonly string[];
  readonly peerMode: readonly PeerMode[];
  readonly rounds: number;
  readonly profile?: string;
  readonly json?: true;
}

const DEFAULT_ROUNDS = 5;
/** Every step is the same work; the time of a picture is proportional to their number. */
const DEFAULT_STEPS = 10;

const AFTER_HELP = `
Examples:
  npx udit bench                                          everything, one core, U-DiT-S, batch 8
  npx udit bench --task forward --workers 1,2 --threads 1,2
  npx udit bench --model U-DiT-XS --task sample --steps 25 --batch 1,8 --no-peer
  npx udit bench --task forward --precision f32,int8 --no-peer
  npx udit bench --task train --peer-mode eager,tuned     also PyTorch without its slowest path
  npx udit bench --task encode,decode --threads 2          Stable Diffusion's autoencoder, 256x256
  npx udit bench --task features --peer-mode eager,tuned   Inception of FID, beside both layouts of PyTorch
  npx udit bench --peer-python /opt/torch/bin/python --peer-mode eager,compile,compile-bf16

All combinations of the lists are measured, except those that need more cores than the machine has.
The workers share a batch. The peer is PyTorch in a clone of the repository, on as many cores or the
same GPU, in its fastest layout; both programs take turns, and ratios below 1 mean that udit is faster.
The peer has U-DiT and DiT for sampling and training, both halves of the autoencoders, and the feature
networks. Forward and features on the CPU also give their speed as a share of that of matrix products
alone, in f32. The error of int8 is the relative L2 of the network's output to that in f32, forward only.
`;

export function defineBench(command: Command, terminal: Terminal): void {
  const count = listOf(wholeNumber({ from: 1 }));
  command
    .optionsGroup('What to measure:')
    .addOption(
      new Option('--task <list>', `of ${TASKS.join()} (default: all of the model)`).argParser(
        listAmong(TASKS),
      ),
    )
    .option('--model <preset>', 'a preset: SiT-XL/2, TAESD, DINOv2-S/14 … (default: as the task needs)')
    .addOption(
      new Option('--batch <list>', 'images per iteration (default: 8; encode, decode: 1)').argParser(count),
    )
    .option(
      '--image-size <size>',
      "encode, decode, features: of the pictures (default: the model's)",
      imageSize,
    )
    .option('--steps <n>', 'sample: steps from noise to image', wholeNumber({ from: 1 }), DEFAULT_STEPS)
    .addOption(
      new Option('--sampler <name>', 'sample: default as for udit sample').choices(Object.keys(SAMPLERS)),
    )
    .option(
      '--cfg-scale <s>',
      'sample: guidance, 1 is none (default as for udit sample)',
      numberIn(0, Number.POSITIVE_INFINITY),
    )
    .optionsGroup('How udit does it:')
    .addOption(
      new Option('--workers <list>', 'sessions that work side by side').argParser(count).default([1], '1'),
    )
    .addOption(new Option('--threads <list>', 'threads of each worker').argParser(count).default([1], '1'))
    .addOption(
      new Option('--precision <list>', `of ${PRECISIONS.join()}`)
        .argParser(listAmong(PRECISIONS))
        .default(['f32'], 'f32'),
    )
    .addOption(
      new Option('--device <list>', `of ${DEVICE_REQUESTS.join()}`)
        .argParser(listAmong(DEVICE_REQUESTS))
        .default(['cpu'], 'cpu'),
    )
    .optionsGroup('Against PyTorch:')
    .option('--no-peer', 'measure udit alone')
    .addOption(
      new Option('--peer-python <list>', 'Python interpreters (default: the first here that has PyTorch)')
        .argParser(listOf((text) => text))
        .env('UDIT_PEER_PYTHON'),
    )
    .addOption(
      new Option('--peer-mode <list>', `of ${PEER_MODES.join()}`)
        .argParser(listAmong(PEER_MODES))
        .default(['eager'], 'eager'),
    )
    .optionsGroup('How to report it:')
    .option('--rounds <n>', 'timed iterations of each program', wholeNumber({ from: 1 }), DEFAULT_ROUNDS)
    .option(
      '--profile <folder>',
      'forward, features, train: also where the time goes, by operation (slower, and takes memory)',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText('after', AFTER_HELP)
    .action((flags: BenchFlags) => interruptible((signal) => bench(flags, terminal, signal)));
}

/** Flags with the network and the work that they mean. */
interface ChosenFlags extends BenchFlags {
  readonly task: readonly Task[];
  readonly model: string;
  readonly batch: readonly number[];
}

/** @throws ConfigError for an unknown preset, or a task of networks of another role */
function chooseWork(flags: BenchFlags): ChosenFlags {
  const { model = MEASURED[roleOfTasks(flags.task) ?? 'denoiser'].usual } = flags;
  const role = roleOfSpec(anyPreset(model));
  const { task = TASKS_OF[role], batch = [MEASURED[role].batch] } = flags;
  const foreign = task.find((each) => !TASKS_OF[role].includes(each));
  if (foreign !== undefined) {
    const { called, usual } = MEASURED[roleOfTasks([foreign])!];
    throw new ConfigError({
      where: `--task ${foreign}`,
      problem: `${model} is ${MEASURED[role].called}, which has ${TASKS_OF[role].join(', ')}`,
      fix: `name ${called} with --model, such as ${usual}`,
    });
  }
  return { ...flags, task, model, batch };
}

/** By role: a name, the preset that is measured by default, and the images per iteration. */
const MEASURED: Readonly<
  Record<Role, { readonly called: string; readonly usual: string; readonly batch: number }>
> = {
  denoiser: { called: 'a denoiser', usual: 'U-DiT-S', batch: 8 },
  autoencoder: { called: 'an autoencoder', usual: 'SD-VAE', batch: 1 },
  features: { called: 'a feature network', usual: 'FID-Inception', batch: 8 },
};

/** Of networks that have all of these tasks, if there is such a role. */
function roleOfTasks(tasks: readonly Task[] | undefined): Role | undefined {
  if (tasks === undefined) return undefined;
  return ROLES.find((role) => tasks.every((task) => TASKS_OF[role].includes(task)));
}

async function bench(given: BenchFlags, terminal: Terminal, stopped: AbortSignal): Promise<void> {
  const flags = chooseWork(given);
  const { rounds, json = false } = flags;
  if (flags.profile !== undefined) await expectHarmlessOutputs('--profile', [flags.profile]);
  const coreCount = availableParallelism();
  const { devices, missing } = await findDevices(flags.device);
  const { contests, ...plan } = planBench(
    requestOf(flags, devices),
    { coreCount, memory: memoryLimit() },
    workloadBytes,
  );
  const skipped = [...missing, ...plan.skipped];
  if (contests.length === 0) {
    throw new ConfigError({
      where: 'udit bench',
      problem: skipped.join('; '),
      fix: 'ask for a combination that can run here',
    });
  }
  // Whatever ends this function ends the programs that it has started.
  const ended = new AbortController();
  const scratchFolder = await mkdtemp(join(tmpdir(), 'udit-bench-'));
  const signal = AbortSignal.any([stopped, ended.signal]);
  try {
    if (flags.profile !== undefined)
      await makeFolder(flags.profile, { fix: 'name another folder with --profile' });
    const { rivals, notes } = await peersFor(flags, devices, signal);
    const machine = describeMachine(coreCount);
    if (!json) {
      terminal.out.write(`${flags.model} on ${machine.cpu}, ${formatCores(coreCount)}, rounds: ${rounds}\n`);
      for (const note of [...skipped.map((reason) => `left out: ${reason}`), ...notes])
        terminal.out.write(`  ${note}\n`);
    }
    const results: ContestResult[] = [];
    for (const contest of contests) {
      const title = contestTitle(contest);
      const result = await runContest(contest, {
        rounds,
        version,
        forwardMacs: macsOfOneImage(contest.task, flags),
        scratchFolder,
        rivals: rivals.filter((rival) => rival.layouts(contest).length > 0),
        signal,
        onProgress: (what) => terminal.err.write(`${title}: ${what}\n`),
      });
      results.push(result);
      if (!json) terminal.out.write(`\n${formatContest(result)}\n`);
    }
    if (json) {
      const { model } = flags;
      const report = { machine, model, rounds, skipped, notes, contests: results.map(contestAsData) };
      terminal.out.write(`${JSON.stringify(report, null, 2)}\n`);
    }
  } finally {
    ended.abort();
    await rm(scratchFolder, { recursive: true, force: true });
  }
}

/**
 * Those that are there, and why the others are not.
 *
 * @throws RuntimeUnavailableError if none is
 */
async function findDevices(requests: readonly DeviceRequest[]) {
  const devices = new Set<BackendName>();
  const missing: RuntimeUnavailableError[] = [];
  for (const request of requests) {
    try {
      devices.add(await findDevice(request));
    } catch (error) {
      if (!(error instanceof RuntimeUnavailableError)) throw error;
      missing.push(error);
    }
  }
  if (devices.size === 0) throw missing[0];
  return { devices: [...devices], missing: missing.map(({ where, problem }) => `${where}: ${problem}`) };
}

function requestOf(
  { model, task, batch, imageSize, ...flags }: ChosenFlags,
  devices: readonly BackendName[],
): BenchRequest {
  const { steps, sampler, cfgScale, workers, threads, precision, profile } = flags;
  return {
    model,
    size: imageSize,
    tasks: task,
    batches: batch,
    workers,
    threads,
    precisions: precision,
    devices,
    profile,
    sampling: { steps, sampler, cfgScale },
  };
}

function macsOfOneImage(task: Task, { model, imageSize: size }: ChosenFlags): number {
  const outputs = isSingleRun(task)
    ? [...singleRun(task, { model, size, batch: 1 }).graph.values()]
    : [traceNetwork(createModel(presetSpec(model))).outputs.prediction];
  return totalMacs(sumMacs(macsOf(outputs)));
}

async function peersFor(
  { model, task, peer, peerPython, peerMode }: ChosenFlags,
  devices: readonly BackendName[],
  signal: AbortSignal,
): Promise<Peers> {
  if (!peer) return { rivals: [], notes: [] };
  return findPeers({ model, tasks: task, devices, pythons: peerPython, modes: peerMode }, signal);
}

function describeMachine(coreCount: number) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: coreCount,
    memoryGb: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
  };
}
