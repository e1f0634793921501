/**
 * @file Scores beside those of packages of PyTorch: the same pictures, and an Inception of the same weights. It takes a
 * quarter of an hour, so it runs where UDIT_SCORES_PYTHON names a Python with torch-fidelity (0.4 or newer) and clean-fid.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { permutation, randomKey } from '../src/core/random.ts';
import { openEmoji } from '../src/data/datasets/emoji-node.ts';
import { loadBatch } from '../src/data/datasets/samples.ts';
import { imageAt, toPixels } from '../src/data/images/pixels.ts';
import { writePng } from '../src/data/images/png-node.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { writeSafetensors } from '../src/formats/file-node.ts';
import { readJson } from '../src/host/files/read-json-node.ts';
import { INCEPTION_PRESETS, type InceptionConfig, InceptionV3 } from '../src/networks/features/inception.ts';
import { evaluate } from '../src/tasks/evaluation/evaluate-node.ts';
import type { MetricName } from '../src/tasks/evaluation/scores.ts';
import { inceptionWeights } from '../tools/parity/inception.ts';
import { REPOSITORY } from './support/documents.ts';

const PYTHON = process.env.UDIT_SCORES_PYTHON;
const title = PYTHON ?? 'skipped: UDIT_SCORES_PYTHON names no Python with torch-fidelity and clean-fid';
const HOURS = 3_600_000;

/** Of each side. */
const COUNT = Number(process.env.UDIT_SCORES_PICTURES ?? 2000) / 2;
const SIDE = 64;
/** As the script asks of torch-fidelity. */
const SPLITS = 10;

type Scores = Readonly<Record<string, number>>;

describe.skipIf(PYTHON === undefined)(title, () => {
  let root: string;
  let theirs: Readonly<Record<string, Scores>>;
  const ours = new Map<InceptionConfig['preprocessing'], Scores>();

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'udit scores '));
    const reference = await writeEmoji('fluent-3d');
    const samples = await writeEmoji('twemoji');
    const { key_order: keys } = (await readJson(
      join(REPOSITORY, 'test/fixtures/eval/inception_40x56.json'),
    )) as { readonly key_order: readonly string[] };
    const weights = inceptionWeights(keys);
    const path = join(root, 'weights.safetensors');
    await writeSafetensors(path, weights, {});
    const script = join(REPOSITORY, 'test/support/scores_in_pytorch.py');
    const { stdout } = await promisify(execFile)(PYTHON!, [script, path, reference, samples]);
    theirs = JSON.parse(stdout.trim().split('\n').at(-1)!);
    const measure = async (
      preprocessing: InceptionConfig['preprocessing'],
      metrics: readonly MetricName[],
    ) => {
      const network = new InceptionV3({ ...INCEPTION_PRESETS['FID-Inception']!, preprocessing });
      const extractor = { name: 'formula', identity: 'formula', saved: { network, weights } };
      const { scores } = await evaluate({
        ...{ reference, samples, metrics, extractor, split: COUNT / SPLITS },
        ...{ backend: cpuBackend, folder: null, threads: 1 },
      });
      ours.set(preprocessing, Object.fromEntries(scores.map(({ label, value }) => [label, value])));
    };
    await measure('tensorflow', ['fid', 'is', 'kid', 'pr']);
    await measure('pytorch', ['fid', 'kid']);
    console.log(JSON.stringify({ theirs, ours: Object.fromEntries(ours) }, null, 2));
  }, 3 * HOURS);
  afterAll(() => rm(root, { recursive: true }));

  async function writeEmoji(artwork: 'fluent-3d' | 'twemoji'): Promise<string> {
    const folder = join(root, artwork);
    await mkdir(folder);
    const samples = await openEmoji({ imageSize: SIDE, artwork, augment: 'none' });
    const chosen = Array.from(permutation(randomKey(0), samples.length).subarray(0, COUNT));
    const pictures = toPixels((await loadBatch(samples, chosen, null)).x);
    for (let i = 0; i < COUNT; i++) {
      await writePng(join(folder, `${String(i).padStart(6, '0')}.png`), imageAt(pictures, i));
    }
    return folder;
  }

  /** Kernel distances are printed in thousandths. */
  const THOUSANDTH = 1e-3;
  /**
   * Kernel distances are differences of means in float32, and torch-fidelity's results are whole multiples of 2⁻²⁰, the
   * spacing of numbers from 8 to 16: two of them.
   */
  const SPACINGS = 2 * 2 ** -20;

  test.each([
    ['torch-fidelity', 'frechet_inception_distance', 'tensorflow', `FID-${COUNT}`, 1],
    ['torch-fidelity', 'inception_score_mean', 'tensorflow', `IS-${COUNT}`, 1],
    ['torch-fidelity', 'kernel_inception_distance_mean', 'tensorflow', `KID-${COUNT}`, THOUSANDTH],
    ['torch-fidelity', 'precision', 'tensorflow', 'precision', 1],
    ['torch-fidelity', 'recall', 'tensorflow', 'recall', 1],
    ['clean-fid', 'fid', 'pytorch', `FID-${COUNT}`, 1],
    ['clean-fid', 'kid', 'pytorch', `KID-${COUNT}`, THOUSANDTH],
  ] as const)('%s: %s', (name, theirName, preprocessing, label, unit) => {
    // Classes are almost equally likely with such weights: of the Inception Score all but 1 is compared.
    const nothing = theirName.startsWith('inception_score') ? 1 : 0;
    const expected = theirs[name]![theirName]! - nothing;
    const actual = ours.get(preprocessing)![label]! * unit - nothing;
    const rounding = theirName.startsWith('k') ? SPACINGS : 0;
    expect(Math.abs(actual - expected), `${actual}, ${name} has ${expected}`).toBeLessThan(
      Math.max(1e-4 * Math.abs(expected), rounding),
    );
  });
});
