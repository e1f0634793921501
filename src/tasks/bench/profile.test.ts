import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatShares, operationShares, readOperationShares } from './profile.ts';

const kernel = (op_name: string, dur: number) => ({
  cat: 'Node',
  name: 'n_kernel_time',
  dur,
  args: { op_name },
});
const other = { cat: 'Session', name: 'model_run', dur: 1000, args: {} };

test('shares are of the time in kernels, largest first', () => {
  const shares = operationShares([
    other,
    kernel('Mul', 10),
    kernel('Gemm', 30),
    kernel('Gemm', 40),
    kernel('Conv', 20),
  ]);
  expect([...shares]).toEqual([
    ['Gemm', 0.7],
    ['Conv', 0.2],
    ['Mul', 0.1],
  ]);
});

test('products are told from the rest, and trifles left out', () => {
  const shares = operationShares([
    kernel('Add', 1),
    kernel('Gemm', 695),
    kernel('FusedMatMul', 4),
    kernel('Mul', 300),
  ]);
  expect(formatShares(shares)).toBe('products 70 %: Gemm 70 %; beside them Mul 30 %');
});

test('profiles of all sessions with a prefix are read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'udit profile '));
  await writeFile(join(folder, 'train-8_1.json'), JSON.stringify([kernel('Gemm', 3)]));
  await writeFile(join(folder, 'train-8_2.json'), JSON.stringify([kernel('Mul', 1)]));
  await writeFile(join(folder, 'train-80_1.json'), JSON.stringify([kernel('Add', 1)]));
  expect([...(await readOperationShares(join(folder, 'train-8')))]).toEqual([
    ['Gemm', 0.75],
    ['Mul', 0.25],
  ]);
  await rm(folder, { recursive: true });
});
