/** @file What is measured: every combination of what was asked for that can be run here. */

import { formatBytes } from '../../core/byte-size.ts';
import type { ImageSize } from '../../core/image-size.ts';
import type { SamplerName } from '../../diffusion/samplers.ts';
import { type BackendName, isGpu, MOST_WORKERS } from '../../engine/runtime/session.ts';
import type { Role } from '../../networks/family.ts';
import type { Precision } from '../../networks/precision.ts';

/** Of denoisers. */
export const DENOISER_TASKS = ['forward', 'sample', 'train'] as const;
/** Of autoencoders: pictures to latents, and latents to pictures. */
const AUTOENCODER_TASKS = ['encode', 'decode'] as const;
/** Of feature networks. */
const FEATURE_TASKS = ['features'] as const;
export const TASKS = [...DENOISER_TASKS, ...AUTOENCODER_TASKS, ...FEATURE_TASKS] as const;
/** By what the network is. */
export const TASKS_OF: Readonly<Record<Role, readonly Task[]>> = {
  denoiser: DENOISER_TASKS,
  autoencoder: AUTOENCODER_TASKS,
  features: FEATURE_TASKS,
};
export type DenoiserTask = (typeof DENOISER_TASKS)[number];
/** They run a network once, and sample and train nothing. */
export type SingleRunTask = (typeof AUTOENCODER_TASKS | typeof FEATURE_TASKS)[number];
export type Task = (typeof TASKS)[number];

export function isSingleRun(task: Task): task is SingleRunTask {
  return !(DENOISER_TASKS as readonly Task[]).includes(task);
}

/** How images are drawn; what is left open is chosen as for `udit sample`. */
export interface SamplingRequest {
  readonly steps: number;
  readonly sampler?: SamplerName | undefined;
  readonly cfgScale?: number | undefined;
}

/** One piece of work, done again and again while the clock runs. */
export interface Workload {
  readonly task: Task;
  /** A preset of src/models. */
  readonly model: string;
  /** Images per iteration, shared out evenly among the workers. */
  readonly batch: number;
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
  readonly precision: Precision;
  readonly device: BackendName;
  readonly sampling: SamplingRequest;
  /** Of the pictures of a task that runs a network once. Default: the one that it was trained at. */
  readonly size?: ImageSize | undefined;
  /** ONNX Runtime writes a profile under this prefix: forward and train. */
  readonly profilePrefix?: string;
}

/** What may be listed: a value each of `tasks`, `batches` … makes a workload. */
export interface BenchRequest extends Pick<Workload, 'model' | 'sampling' | 'size'> {
  readonly tasks: readonly Task[];
  readonly batches: readonly number[];
  readonly workers: readonly number[];
  readonly threads: readonly number[];
  readonly precisions: readonly Precision[];
  readonly devices: readonly BackendName[];
  /** Folder of profiles; none are written by default. */
  readonly profile?: string | undefined;
}

/** Workloads that do the same on as many cores, so that they can be compared with each other and with one peer. */
export interface Contest {
  readonly task: Task;
  readonly batch: number;
  readonly device: BackendName;
  readonly cores: number;
  readonly workloads: readonly Workload[];
}

export interface BenchPlan {
  readonly contests: readonly Contest[];
  /** Combinations that are left out, and why. */
  readonly skipped: readonly string[];
}

/** What workloads are measured on. */
export interface BenchMachine {
  /** What needs more would measure how cores are shared. */
  readonly coreCount: number;
  /** What needs more is not there: in bytes. */
  readonly memory: number;
}

/** @param bytesOf - what a workload takes */
export function planBench(
  request: BenchRequest,
  machine: BenchMachine,
  bytesOf: (workload: Workload) => number,
): BenchPlan {
  const contests = new Map<string, Contest>();
  const skipped = new Set<string>();
  for (const workload of combinations(request)) {
    const { task, batch, device, workers, threads } = workload;
    const obstacle = obstacleTo(workload, machine) ?? lackOfMemory(workload, machine, bytesOf);
    if (obstacle !== undefined) {
      skipped.add(obstacle);
      continue;
    }
    const cores = workers * threads;
    const key = [task, batch, device, cores].join();
    const workloads = [...(contests.get(key)?.workloads ?? []), workload];
    contests.set(key, { task, batch, device, cores, workloads });
  }
  return { contests: [...contests.values()], skipped: [...skipped] };
}

function* combinations(request: BenchRequest): Generator<Workload> {
  const { model, sampling, size } = request;
  for (const task of request.tasks)
    for (const batch of request.batches)
      for (const device of request.devices)
        for (const workers of request.workers)
          for (const threads of request.threads)
            for (const precision of request.precisions)
              yield profiled(request.profile, {
                ...{ task, model, batch, device, workers, threads, precision, sampling, size },
              });
}

function profiled(folder: string | undefined, workload: Workload): Workload {
  if (folder === undefined) return workload;
  const { task, batch, device, workers, threads, precision } = workload;
  const name = [task, batch, device, `${workers}x${threads}`, precision].join('-');
  return { ...workload, profilePrefix: `${folder}/${name}` };
}

function obstacleTo(workload: Workload, { coreCount }: BenchMachine): string | undefined {
  const { task, batch, device, workers, threads, precision } = workload;
  if (workers * threads > coreCount) {
    return `${workers} workers of ${threads} threads need ${workers * threads} cores, there are ${coreCount}`;
  }
  if (workers > MOST_WORKERS)
    return `${workers} workers are too many for a process, ${MOST_WORKERS} the most`;
  if (batch % workers !== 0)
    return `a batch of ${batch} cannot be shared out evenly among ${workers} workers`;
  if (device !== 'cpu' && workers * threads > 1) return `${device} has one worker of one thread`;
  if ((device === 'webgpu' || device === 'cuda') && precision !== 'f32') return `${precision} is for CPUs`;
  if (task === 'train' && precision !== 'f32') return `training is in f32, not in ${precision}`;
  if (isSingleRun(task) && precision !== 'f32') return `${task} is in f32, not in ${precision}`;
  return undefined;
}

function lackOfMemory(
  workload: Workload,
  { memory }: BenchMachine,
  bytesOf: (workload: Workload) => number,
): string | undefined {
  const { task, batch, device } = workload;
  if (isGpu(device)) return undefined;
  const needed = bytesOf(workload);
  if (needed <= memory) return undefined;
  return `${task} with a batch of ${batch} needs some ${formatBytes(needed)} of memory, there are ${formatBytes(memory)}`;
}
