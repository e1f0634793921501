/** @file The PyTorch peer computes what the originals do. Needs PyTorch; elsewhere it is skipped. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { REPOSITORY } from './support/documents.ts';

const PYTHON = process.env.UDIT_PEER_PYTHON?.split(',')[0] ?? '/usr/bin/python3';
const hasTorch = spawnSync(PYTHON, ['-c', 'import torch']).status === 0;
if (!hasTorch) console.log(`skipped: ${PYTHON} cannot import torch, so the peer is not checked`);

const peer = async (...args: readonly string[]) => {
  const script = join(REPOSITORY, 'bench/peer/udit_torch.py');
  const { stdout } = await promisify(execFile)(PYTHON, [script, ...args]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
};

test.skipIf(!hasTorch).each(['U-DiT', 'DiT'])('%s: forward, sampling and training', async (family) => {
  const model = JSON.stringify({ family, config: {} });
  const fixtures = join(REPOSITORY, 'test/fixtures');
  expect(await peer('--model', model, '--check', fixtures, '--json')).toMatchObject({ agrees: true });
});
