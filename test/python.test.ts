/** @file Exported files in Python's onnxruntime: the guide's programs run, and images are those of `udit sample`. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { parseNpy } from '../src/formats/npy.ts';
import { openModel } from '../src/models/open-node.ts';
import { imageKey, imageNoise } from '../src/tasks/sampling/image-noise.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import { expectClose } from './support/closeness.ts';
import { codeBlocks } from './support/documents.ts';
import { findPython } from './support/find-python.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

const REQUIRED =
  'import onnxruntime; assert tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 23)';

const interpreter = await findPython(REQUIRED);

const title = interpreter ?? 'skipped: no python3 here has onnxruntime 1.23 or newer';
describe.skipIf(interpreter === undefined)(title, () => {
  let folder: string;
  let checkpoint: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'udit python '));
    checkpoint = join(folder, 'tiny.safetensors');
    await writeTinyCheckpoint(checkpoint, tinyCard({ classNames: ['Objects', 'Symbols', 'Flags'] }));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const exportTo = async (name: string, ...flags: readonly string[]) => {
    const { code, err } = await runUdit(
      ['export', checkpoint, '--out', join(folder, name), ...flags],
      folder,
    );
    expect(code, err).toBe(0);
  };
  const python = (program: string) =>
    execFileSync(interpreter!, ['-c', program], { cwd: folder, stdio: 'pipe' });
  const npy = async (name: string) => parseNpy(await readFile(join(folder, name)), name);

  test('the programs of the guide run', async () => {
    const programs = codeBlocks('docs/guides/export.md').filter(({ language }) => language === 'python');
    expect(programs).toHaveLength(2);
    await exportTo('emoji.onnx');
    await exportTo('step.onnx', '--what', 'guided-step');
    for (const { code } of programs) python(code);
    expect(await npy('flags.npy')).toMatchObject({ dtype: 'u8', shape: [4, 8, 8, 3] });
  });

  test.each(['f32', 'int8'] as const)('in %s, noise of this project gives its images', async (precision) => {
    await exportTo('sampler.onnx', '--steps', '4', '--cfg-scale', '2', '--precision', precision);
    const labels = [2, 0, 1];
    const noise = imageNoise(
      labels.map((_, i) => imageKey(5, i)),
      [3, 8, 8],
      'start',
    );
    await writeFile(join(folder, 'noise.f32'), new Uint8Array(noise.data.buffer));
    python(`
import numpy as np, onnxruntime
noise = np.fromfile('noise.f32', np.float32).reshape(3, 3, 8, 8)
feeds = {'noise': noise, 'labels': np.array([2, 0, 1]), 'cfgScale': np.array(2, np.float32)}
session = onnxruntime.InferenceSession('sampler.onnx', providers=['CPUExecutionProvider'])
np.save('images.npy', session.run(None, feeds)[0])
`);
    const saved = await openModel(checkpoint);
    const sampler = await createSampler(saved, {
      backend: cpuBackend,
      precision,
      batchSize: 3,
      steps: 4,
      cfgScale: 2,
    });
    const expected = await sampler.generate({ labels, seed: 5 });
    await sampler.release();
    const actual = await npy('images.npy');
    expect(actual.shape).toEqual(expected.shape);
    expectClose(actual.data as Float32Array, expected.data, { relative: 1e-4 });
  });
});
