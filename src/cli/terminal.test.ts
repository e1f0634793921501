import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import { outliveReaders, startProgress } from './terminal.ts';

test('where nobody watches, progress is lines', () => {
  const terminal = recordingTerminal();
  const progress = startProgress(terminal, { title: 'sampling', total: 8, lineIntervalMs: 0 });
  progress.update(1, 'step 1 of 8');
  progress.update(8, 'step 8 of 8');
  progress.stop();
  expect(terminal.printed).toEqual({
    out: '',
    err: 'sampling 12% (step 1 of 8)\nsampling 100% (step 8 of 8, 0 s left)\n',
  });
});

test('lines keep their distance', () => {
  const terminal = recordingTerminal();
  const progress = startProgress(terminal, { title: 'sampling', total: 100 });
  for (let step = 1; step <= 100; step++) progress.update(step, `step ${step}`);
  expect(terminal.printed.err).toBe('');
});

test('on a terminal progress is a bar that goes away', async () => {
  const stream = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, columns: 100 });
  const progress = startProgress({ out: stream, err: stream }, { title: 'sampling', total: 4 });
  progress.update(2, 'step 2 of 4');
  progress.stop();
  const printed = String(stream.read());
  expect(printed).toContain('sampling');
  expect(printed).toContain('50% | step 2 of 4');
  // The last thing done is to clear the line and to show the cursor again.
  expect(printed.slice(printed.lastIndexOf('step 2 of 4'))).toContain('\x1b[?25h');
});

test('a terminal that goes away ends nothing, and the first reason is kept', async () => {
  const failing = (code: string) =>
    new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })) });
  const [out, err] = [failing('EIO'), failing('EPIPE')];
  const results = outliveReaders(out, err);
  expect(results.lost).toBeUndefined();
  const progress = startProgress(
    { out, err: Object.assign(err, { isTTY: true, columns: 80 }) },
    { title: 'training', total: 4 },
  );
  progress.update(2, 'step 2');
  out.write('result');
  await once(out, 'error');
  expect(results.lost).toMatchObject({ code: 'EIO' });
  progress.update(3, 'step 3');
  progress.stop();
  out.write('more');
  await nextTurn();
  expect(results.lost).toMatchObject({ code: 'EIO' });
});
