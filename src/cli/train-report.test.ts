import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import type { OpenedData } from '../data/datasets/open-data-node.ts';
import { resolveTrainConfig } from '../tasks/training/config/train-config.ts';
import { courseOf, describeHeldOut, watchRun } from './train-report.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit watch '));
});
afterEach(() => rm(root, { recursive: true }));

const PIXELS = { shape: [3, 8, 8], space: { kind: 'pixels' } } as const;

const reportOf = (step: number) => ({
  ...{
    step,
    sessionSeconds: 3,
    loss: 0.5,
    terms: {},
    gradientNorm: 1,
    learningRate: 0.1,
    imagesPerSecond: 12,
  },
});

const OPENED: OpenedData = {
  samples: {
    name: 'photos',
    classNames: [],
    labels: [],
    sampleNames: [],
    length: 0,
    read: () => {},
    ...PIXELS,
  },
  skipped: [{ name: 'cat/bad\n2026 \u001b[31m.png', reason: 'the file is empty' }],
  passedOver: { files: [['.svg', 248]], entries: [{ name: '__MACOSX', reason: 'left by macOS' }] },
  treated: { turned: [1, 2], transparent: [1], clipped: [], cropped: [1, 2, 3], enlarged: [4] },
};

test('what is said is shown and kept; of the steps every tenth is kept', async () => {
  const terminal = recordingTerminal();
  const runPath = join(root, 'run');
  const { observer, stop } = watchRun(terminal, { runPath, lastStep: 40 });
  observer.onWarning('said before there is a folder');
  await mkdir(runPath);
  const { data } = resolveTrainConfig([{ data: { kind: 'folder', path: 'photos', background: '#ff8800' } }]);
  observer.onData(OPENED, data);
  observer.onResume(8, 'step-8');
  for (const step of [9, 10, 11]) observer.onStep(reportOf(step));
  observer.onHeldOutLoss(11, 1 / 3);
  stop();

  expect(terminal.printed.err).toMatchInlineSnapshot(`
    "warning: said before there is a folder
    warning: skipped cat/bad\\x0a2026 \\x1b[31m.png: the file is empty
    warning: passed over __MACOSX: left by macOS
    files of other kinds passed over: .svg 248
    1 picture has transparency: laid on #ff8800
    2 pictures are turned: upright, as EXIF says
    continuing at step 8 from step-8
    step 11: held-out loss 0.3333
    "
  `);
  const log = await readFile(join(runPath, 'log.txt'), 'utf8');
  expect(log.replaceAll(/^\d{4}-\d\d-\d\dT[\d:.]+Z/gm, 'TIME')).toMatchInlineSnapshot(`
    "TIME warning: skipped cat/bad\\x0a2026 \\x1b[31m.png: the file is empty
    TIME warning: passed over __MACOSX: left by macOS
    TIME files of other kinds passed over: .svg 248
    TIME 1 picture has transparency: laid on #ff8800
    TIME 2 pictures are turned: upright, as EXIF says
    TIME continuing at step 8 from step-8
    TIME step 10 of 40 | loss 0.5000 | 12.0 images/s
    TIME step 11: held-out loss 0.3333
    "
  `);
});

test('a session that ends by the clock counts no steps down', async () => {
  const { observer, stop } = watchRun(recordingTerminal(), { runPath: root, lastStep: 100, seconds: 6 });
  observer.onStep(reportOf(10));
  stop();
  expect(await readFile(join(root, 'log.txt'), 'utf8')).toMatch(
    / step 10 \| loss 0\.5000 \| 12\.0 images\/s\n$/,
  );
});

test.each([
  ['steps alone', { lastStep: 100 }, { unit: 'steps', done: 20, total: 100 }],
  ['steps that come first', { lastStep: 100, seconds: 101 }, { unit: 'steps', done: 20, total: 100 }],
  ['time that comes first', { lastStep: 100, seconds: 80 }, { unit: 'seconds', done: 10, total: 80 }],
  ['time that is over', { lastStep: 100, seconds: 8 }, { unit: 'seconds', done: 8, total: 8 }],
])('progress goes by the nearest limit: %s', (_, limits, course) => {
  // Ten steps of a second, after earlier sessions.
  expect(courseOf({ step: 20, sessionSeconds: 10 }, { step: 11 }, limits)).toEqual(course);
});

test('of slow steps a line is kept every ten seconds', async () => {
  const { observer, stop } = watchRun(recordingTerminal(), { runPath: root, lastStep: 100 });
  for (const step of [1, 2, 3, 4, 5]) observer.onStep({ ...reportOf(step), sessionSeconds: 6 * step });
  stop();
  const log = await readFile(join(root, 'log.txt'), 'utf8');
  expect(Array.from(log.matchAll(/step (\d+) of/g), ([, step]) => step)).toEqual(['2', '4']);
});

test('a later session goes on in the same log', async () => {
  for (const step of [1, 2]) {
    const { observer, stop } = watchRun(recordingTerminal(), { runPath: root, lastStep: 40 });
    observer.onCheckpoint(step, `step-${step}`);
    stop();
  }
  expect((await readFile(join(root, 'log.txt'), 'utf8')).split('\n')).toHaveLength(3);
});

test('held-out losses of a session, or the only one', () => {
  const [first, last] = [
    { step: 0, loss: 1.23456 },
    { step: 400, loss: 0.5 },
  ];
  expect(describeHeldOut({ first: first!, last: last! })).toBe('1.2346 at step 0, 0.5000 at step 400');
  expect(describeHeldOut({ first: last!, last: last! })).toBe('0.5000 at step 400');
});
