/** @file A run that udit 0.1.0 began is opened, continued and drawn from as that version would have done it. */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openModel } from '../src/models/open-node.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { runUdit } from './support/run-udit.ts';

/** Four of eight steps of a tiny U-DiT on emoji of 8×8, stopped by `--stop-after 4`. */
const EARLIER_RUN = fileURLToPath(new URL('golden/run-0.1.0', import.meta.url));

/** What 0.1.0 recorded for the steps after them. Processors differ in the last digits. */
const LATER_LOSSES = [
  { step: 5, loss: 1.6048089265823364, gradientNorm: 1.9438805832783241 },
  { step: 6, loss: 1.5526642799377441, gradientNorm: 1.780769314013087 },
  { step: 7, loss: 1.47233247756958, gradientNorm: 1.6931487463974673 },
  { step: 8, loss: 1.470517873764038, gradientNorm: 1.3534658550448277 },
];
const HELD_OUT_LOSS = 1.503871704850878;

let root: string;
let run: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-earlier-'));
  run = join(root, 'run-0.1.0');
  await cp(EARLIER_RUN, run, { recursive: true });
});
afterAll(() => rm(root, { recursive: true }));

test('its checkpoint is a model', async () => {
  const { card, weights } = await openModel(run);
  expect(card).toMatchObject({ name: 'U-DiT-XS', step: 4, nimg: 16, version: '0.1.0' });
  expect(weights.get('x_embedder.proj.weight')!.shape).toEqual([4, 3, 3, 3]);
});

test('the same command continues it', async () => {
  const model = ['model.width=4', 'model.heads=1', 'model.depth=[1,1,1,1,1]'];
  const { code, err } = await runUdit(
    [
      ...['train', '--results-dir', root, '--name', 'run-0.1.0', '--image-size', '8', '--steps', '8'],
      ...['--global-batch-size', '4', '--threads', '1', '--log-every', '1', '--ckpt-every', '8'],
      ...['--evaluate-every', '4', '--sample-every', '8', ...model.flatMap((option) => ['--set', option])],
    ],
    root,
  );
  expect({ code, err }).toMatchObject({ code: 0 });
  const records = (await readStats(join(run, 'stats.jsonl'))).filter(({ step }) => step > 4);
  for (const expected of LATER_LOSSES) {
    const { loss, gradientNorm } = records.find(
      (record) => record.step === expected.step && 'loss' in record,
    )!;
    expect(loss).toBeCloseTo(expected.loss, 4);
    expect(gradientNorm).toBeCloseTo(expected.gradientNorm, 4);
  }
  expect(records.find((record) => 'heldOutLoss' in record)!.heldOutLoss).toBeCloseTo(HELD_OUT_LOSS, 4);
  const config = JSON.parse(await readFile(join(run, 'config.json'), 'utf8'));
  expect(config.training.steps).toBe(8);
});

test('it is drawn from', async () => {
  const { code, err } = await runUdit(
    ['sample', run, '--count', '1', '--classes', '0', '--steps', '2', '--out', join(root, 'samples')],
    root,
  );
  expect({ code, err }).toMatchObject({ code: 0 });
});
