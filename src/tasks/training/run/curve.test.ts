import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readCurve } from './curve.ts';

let run: string;
beforeAll(async () => {
  run = await mkdtemp(join(tmpdir(), 'udit curve '));
  const records = [
    { step: 0, heldOutLoss: 2 },
    { step: 5, nimg: 20, loss: 1.5 },
    { step: 10, nimg: 40, loss: null },
    { step: 10, heldOutLoss: 1 },
  ];
  await writeFile(join(run, 'stats.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  await writeFile(join(run, 'no-nimg.jsonl'), '{"step":1,"heldOutLoss":2}\n');
});
afterAll(() => rm(run, { recursive: true }));

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: Error) => error.message.replaceAll(run, 'RUN'),
  );

test('over steps, from a folder or its file; what is not finite is left out', async () => {
  expect(await readCurve(run, 'heldOutLoss', 'step')).toEqual([
    { x: 0, y: 2 },
    { x: 10, y: 1 },
  ]);
  expect(await readCurve(join(run, 'stats.jsonl'), 'loss', 'step')).toEqual([{ x: 5, y: 1.5 }]);
});

test('over pictures seen, also where a record does not say how many', async () => {
  expect(await readCurve(run, 'heldOutLoss', 'nimg')).toEqual([
    { x: 0, y: 2 },
    { x: 40, y: 1 },
  ]);
});

test('refuses what is not there', async () => {
  expect(await failure(readCurve(run, 'heldOutLos', 'step'))).toMatchInlineSnapshot(`
    "ConfigError: RUN/stats.jsonl: there is no measurement "heldOutLos"
      measured  heldOutLoss loss
      fix: did you mean heldOutLoss?"
  `);
  expect(await failure(readCurve(join(run, 'absent'), 'loss', 'step'))).toMatchInlineSnapshot(`
    "DataError: RUN/absent: there is no such file or folder
      fix: give the folder of a run that has trained, such as runs/u-dit-xs-emoji"
  `);
  expect(await failure(readCurve(join(run, 'no-nimg.jsonl'), 'heldOutLoss', 'nimg'))).toMatchInlineSnapshot(`
    "DataError: RUN/no-nimg.jsonl: no record has the number of pictures seen (nimg)
      fix: draw it over steps, with --x step"
  `);
});
