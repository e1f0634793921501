/** @file Finds the PyTorch peer and the configuration in which it is fastest. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { presetSpec } from '../src/models/presets.ts';
import { Contestant } from './contestant.ts';
import type { BenchOptions, Task } from './options.ts';

const SCRIPT = fileURLToPath(new URL('peer/udit_torch.py', import.meta.url));
/** Debian's own Python first: it is the one that has Debian's PyTorch. */
const INTERPRETERS = ['/usr/bin/python3', 'python3'];

/** Starts the peer on a task, or says why there is none. */
export async function startPeer(
  task: Task,
  options: BenchOptions,
  { tuned = false }: { readonly tuned?: boolean } = {},
): Promise<Contestant | string> {
  const { family, config } = presetSpec(options.model);
  if (family !== 'U-DiT' || config.inChannels !== 4) {
    return `the PyTorch peer is a U-DiT over 4 channels; ${options.model} has no peer`;
  }
  const python = await findPython();
  if (python === undefined) return `none of ${INTERPRETERS.join(', ')} can import torch`;
  const args = [
    SCRIPT,
    '--json',
    ...['--task', task],
    ...['--batch', String(options.batch)],
    ...['--threads', String(options.threads)],
    ...['--size', String(config.inputSize)],
    ...['--hidden', String(config.width)],
    ...['--heads', String(config.heads)],
    ...['--depth', config.depth.join(',')],
    ...(tuned ? ['--tuned'] : []),
  ];
  const name = tuned ? 'PyTorch tuned' : 'PyTorch';
  const peer = await Contestant.start(name, python, args);
  if (peer.introduction.blas_core !== 'Prescott') return peer;
  // An OpenBLAS older than the processor falls back to kernels of half the speed: name a kind it knows.
  await peer.quit();
  return Contestant.start(name, python, args, { OPENBLAS_CORETYPE: await newestKnownCore() });
}

async function findPython(): Promise<string | undefined> {
  for (const python of INTERPRETERS) {
    try {
      await promisify(execFile)(python, ['-c', 'import torch']);
      return python;
    } catch {
      // not installed, or without PyTorch: try the next
    }
  }
  return undefined;
}

async function newestKnownCore(): Promise<string> {
  const flags = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return flags.includes('avx512f') ? 'SKYLAKEX' : 'HASWELL';
}
