import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findPythonWithTorch, NO_PYTORCH } from '../../test/support/find-python.ts';
import { tensorOf } from '../core/host-tensor.ts';
import { bytesInMemory } from './byte-source.ts';
import { openTorch } from './torch-file.ts';
import type { TorchTensor } from './torch-objects.ts';
import { serialiseTorch } from './torch-writer.ts';

const TENSORS = new Map([
  ['mean', tensorOf('f32', [1, 3, 1, 1], [0.5, -1.25, 1e-7])],
  ['Mittel — größer', tensorOf('f32', [2, 2], [1, 2, 3, 4])],
  ['none', tensorOf('f32', [0], [])],
]);

test('what is written is read again, bit for bit', async () => {
  const file = await openTorch(bytesInMemory(Buffer.concat(serialiseTorch(TENSORS))), 'some.pt');
  expect(file.passedOver).toEqual([]);
  const root = file.root as unknown as ReadonlyMap<string, TorchTensor>;
  expect([...root.keys()]).toEqual([...TENSORS.keys()]);
  for (const [name, tensor] of root) expect(await file.read(tensor)).toEqual(TENSORS.get(name));
});

const python = await findPythonWithTorch();

test.skipIf(python === undefined)(`PyTorch reads it as weights (${python ?? NO_PYTORCH})`, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'udit torch '));
  const path = join(folder, 'some.pt');
  await writeFile(path, Buffer.concat(serialiseTorch(TENSORS)));
  const program =
    'import json, sys, torch; print(json.dumps({k: [list(v.shape), v.flatten().tolist()] for k, v in torch.load(sys.argv[1]).items()}))';
  const printed: unknown = JSON.parse(execFileSync(python!, ['-c', program, path], { encoding: 'utf8' }));
  const expected = [...TENSORS].map(([name, { shape, data }]) => [name, [shape, Array.from(data)]]);
  expect(printed).toEqual(Object.fromEntries(expected));
  await rm(folder, { recursive: true });
});
