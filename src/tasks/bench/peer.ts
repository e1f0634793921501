/**
 * @file The peer: the same work in PyTorch (bench/peer), in each of the modes that the installed PyTorch has. Modes are
 * checked against recorded numbers of the originals before they are timed.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ConfigError, RuntimeUnavailableError } from '../../core/errors.ts';
import { type ImageSize, sameSize } from '../../core/image-size.ts';
import type { BackendName } from '../../engine/runtime/session.ts';
import { trainedSizeOf } from '../../networks/nn/network.ts';
import { anyPreset, isAutoencoder, isFeatureNetwork } from '../../networks/presets.ts';
import type { Layout, Rival } from './contest.ts';
import { type Command, Contestant, lastWords } from './contestant.ts';
import type { BenchRequest, Contest } from './plan.ts';

const SCRIPT = fileURLToPath(new URL('../../../bench/peer/udit_torch.py', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../../test/fixtures', import.meta.url));
/** Debian's own Python first: it is the one that has Debian's PyTorch. */
const INTERPRETERS = ['/usr/bin/python3', 'python3'];

export const PEER_MODES = [
  'eager',
  'tuned',
  'compile',
  'bf16',
  'compile-bf16',
  'openvino',
  'openvino-bf16',
] as const;
export type PeerMode = (typeof PEER_MODES)[number];

export interface PeerRequest extends Pick<BenchRequest, 'model' | 'tasks' | 'devices'> {
  /** Python interpreters, each with its own PyTorch; by default the first usual one that has one. */
  readonly pythons?: readonly string[] | undefined;
  readonly modes: readonly PeerMode[];
}

export interface Peers {
  readonly rivals: readonly Rival[];
  /** Why there is none, or a mode is missing. */
  readonly notes: readonly string[];
}

/**
 * Looks for PyTorch.
 *
 * @throws ConfigError if an interpreter that was asked for has none
 */
export async function findPeers(request: PeerRequest, signal: AbortSignal): Promise<Peers> {
  const { model, tasks, devices, pythons, modes } = request;
  const none = (note: string): Peers => ({ rivals: [], notes: [`no peer: ${note}`] });
  if (!existsSync(SCRIPT)) return none('its scripts are in a clone of the repository, not in the package');
  const spec = anyPreset(model);
  const lack = lackFor(model, spec);
  if (lack !== undefined) return none(lack);
  const installed = pythons === undefined ? await firstUsual(signal) : await allOf(pythons, signal);
  if (installed.length === 0) return none(`none of ${INTERPRETERS.join(', ')} can import torch`);
  const pairs = installed.flatMap((torch) => modes.map((mode) => [torch, mode] as const));
  const shared = PEER_DEVICES.filter((device) => devices.includes(device));
  return {
    rivals: pairs
      .filter(([torch, mode]) => shared.some((device) => hasMode(torch, mode, device)))
      .map(([torch, mode]) => rivalOf(torch, mode, spec)),
    notes: [
      ...(isDoneWhole(spec) || tasks.every((task) => task === 'forward')
        ? []
        : [`the peer does only forward of ${model}: it samples and trains as U-DiT-S and DiT do`]),
      ...shared.flatMap((device) =>
        pairs
          .filter(([torch, mode]) => !hasMode(torch, mode, device))
          .map(([{ version }, mode]) => `PyTorch ${version} has no mode ${mode} on ${device} here`),
      ),
    ],
  };
}

type BenchSpec = ReturnType<typeof anyPreset>;

/** Why the peer can do nothing of a network. */
function lackFor(model: string, spec: BenchSpec): string | undefined {
  if (isAutoencoder(spec)) {
    const hasNorms = spec.family === 'TAESD' && spec.config.middleNorm;
    return hasNorms ? `it has no TAESD with norms, as ${model} is` : undefined;
  }
  if (isFeatureNetwork(spec)) return undefined;
  if (spec.config.inChannels !== 4) return `it draws latents of 4 channels, ${model} does not`;
  return spec.config.tokens === 'kv'
    ? `it cannot downsample keys and values alone, as ${model} does`
    : undefined;
}

/** Those that both programs have; here the names are PyTorch's too. */
const PEER_DEVICES = ['cpu', 'cuda'] as const satisfies readonly BackendName[];

function hasMode({ modes }: InstalledTorch, mode: PeerMode, device: BackendName): boolean {
  return modes[device]?.includes(mode) ?? false;
}

/** Both halves of autoencoders are there, and feature networks. Sampling and training are Gaussian diffusion's, and recorded for these networks. */
function isDoneWhole(spec: BenchSpec): boolean {
  if (isAutoencoder(spec) || isFeatureNetwork(spec)) return true;
  const { family, config } = spec;
  if (family === 'U-DiT') return config.attention === 'cosine';
  return family === 'DiT' && !config.discardSigma;
}

/** A Python interpreter with PyTorch. */
interface InstalledTorch {
  readonly python: string;
  readonly version: string;
  /** By device. */
  readonly modes: Readonly<Partial<Record<BackendName, readonly string[]>>>;
  /** What makes its matrix products fastest. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

async function firstUsual(signal: AbortSignal): Promise<InstalledTorch[]> {
  for (const python of INTERPRETERS) {
    const torch = await describe(python, signal);
    if (typeof torch !== 'string') return [torch];
  }
  return [];
}

async function allOf(pythons: readonly string[], signal: AbortSignal): Promise<InstalledTorch[]> {
  const installed: InstalledTorch[] = [];
  for (const python of pythons) {
    const torch = await describe(python, signal);
    if (typeof torch === 'string') {
      throw new ConfigError({
        where: `--peer-python ${python}`,
        problem: `it cannot import torch: ${torch}`,
        fix: 'name a Python interpreter that has PyTorch, or use --no-peer',
      });
    }
    installed.push(torch);
  }
  return installed;
}

/** What an interpreter has, or the last words of one without PyTorch. */
async function describe(python: string, signal: AbortSignal): Promise<InstalledTorch | string> {
  try {
    const {
      torch: version,
      modes,
      blas,
    } = await ask<{ torch: string; modes: InstalledTorch['modes']; blas: string | null }>(
      { program: python, args: [SCRIPT, '--describe'] },
      signal,
    );
    return { python, version, modes, env: blas === 'OpenBLAS' ? await fastestCore(python, signal) : {} };
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', message } = error as Error & { readonly stderr?: string };
    return stderr === '' ? message : lastWords(stderr);
  }
}

/**
 * OpenBLAS has kernels for each kind of processor, and an old one does not know a new processor: it is tried which are
 * fastest, among those that compute the right product. What the environment says about them may be for another program.
 */
const OPENBLAS_CORES = [undefined, 'HASWELL', 'SKYLAKEX', 'ZEN'] as const;

async function fastestCore(python: string, signal: AbortSignal): Promise<InstalledTorch['env']> {
  let fastest: { readonly gflops: number; readonly env: InstalledTorch['env'] } = { gflops: 0, env: {} };
  for (const core of OPENBLAS_CORES) {
    const env = { OPENBLAS_CORETYPE: core, OPENBLAS_L2_SIZE: undefined };
    try {
      const command = { program: python, args: [SCRIPT, '--matrix-speed'], env };
      const { gflops, correct } = await ask<{ gflops: number; correct: boolean }>(command, signal);
      if (correct && gflops > fastest.gflops) fastest = { gflops, env };
    } catch {
      // Kernels that need instructions which this processor lacks end the program.
      signal.throwIfAborted();
    }
  }
  return fastest.env;
}

/** Runs a program that prints one JSON object. */
async function ask<Answer>({ program, args, env = {} }: Command, signal: AbortSignal): Promise<Answer> {
  const { stdout } = await promisify(execFile)(program, args, { env: { ...process.env, ...env }, signal });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Answer;
}

function rivalOf(torch: InstalledTorch, mode: PeerMode, spec: BenchSpec): Rival {
  const { python, version, env } = torch;
  const name = `PyTorch ${version} ${mode}`;
  const modelFlags = ['--model', JSON.stringify(spec), '--mode', mode];
  const isChecked = new Map<string, Promise<void>>();
  return {
    name,
    precision: mode.endsWith('bf16') ? 'bf16' : 'f32',
    layouts: (contest) =>
      hasMode(torch, mode, contest.device) && canDo(contest, mode, spec) ? layoutsOf(contest) : [],
    async start(contest, { workers, threads }, signal) {
      const { task, batch, device, sampling, size } = contest.workloads[0]!;
      const work = ['--task', task, '--device', device];
      const check = isChecked.get(work.join()) ?? expectAgreement();
      isChecked.set(work.join(), check);
      await check;
      const args = [
        SCRIPT,
        '--serve',
        ...modelFlags,
        ...work,
        ...['--batch', String(batch / workers)],
        ...['--threads', String(threads)],
        ...(size === undefined ? [] : ['--size', String(size.height), String(size.width)]),
        ...['--steps', String(sampling.steps)],
        ...['--cfg-scale', String(sampling.cfgScale ?? 1.5)],
      ];
      const command = { program: python, args, env };
      return Contestant.start(name, new Array<Command>(workers).fill(command), signal);

      async function expectAgreement(): Promise<void> {
        const args = [SCRIPT, ...modelFlags, ...work, '--check', FIXTURES, '--json'];
        const { agrees, worst } = await ask<{ agrees: boolean; worst: string }>(
          { program: python, args, env },
          signal,
        );
        if (agrees) return;
        throw new RuntimeUnavailableError({
          where: `bench ${name}`,
          problem: `it is not timed, since its results differ from those of the originals: ${worst}`,
        });
      }
    },
  };
}

/** Nobody trains with OpenVINO; of the samplers the peer has the paper's; it resizes no pictures. */
function canDo({ task, workloads }: Contest, mode: PeerMode, spec: BenchSpec): boolean {
  if (task !== 'forward' && !isDoneWhole(spec)) return false;
  if (task === 'features') return hasOwnSize(workloads[0]!.size, spec);
  if (task === 'sample') return (workloads[0]!.sampling.sampler ?? 'ddpm') === 'ddpm';
  return task !== 'train' || !mode.startsWith('openvino');
}

function hasOwnSize(size: ImageSize | undefined, { config }: BenchSpec): boolean {
  return size === undefined || sameSize(size, trainedSizeOf(config));
}

/** Every number of processes that shares out the batch evenly, with the remaining cores as threads. */
export function layoutsOf({ batch, cores }: Pick<Contest, 'batch' | 'cores'>): Layout[] {
  const counts = Array.from({ length: cores }, (_, i) => i + 1).filter((workers) => batch % workers === 0);
  const layouts = counts.map((workers) => ({ workers, threads: Math.floor(cores / workers) }));
  const mostWorkers = counts.at(-1)!;
  // Threads can cost more than they bring.
  return layouts.at(-1)!.threads > 1 ? [...layouts, { workers: mostWorkers, threads: 1 }] : layouts;
}
