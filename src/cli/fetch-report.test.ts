import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { recordingTerminal } from '../../test/support/recording-terminal.ts';
import { publishedFile } from '../models/hub/catalogue.ts';
import { Speedometer, watchFetch } from './fetch-report.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('the speed is that of the last seconds', () => {
  const speed = new Speedometer(500, 1000);
  expect(speed.update(1500, 2000)).toBe(1000);
  for (let second = 3; second <= 10; second++) speed.update(1500, 1000 * second);
  expect(speed.update(1600, 11_000)).toBe(20);
});

test('a resumed download is verified first; what was there says nothing about its speed', () => {
  const terminal = recordingTerminal();
  const watcher = watchFetch(terminal, publishedFile('U-DiT-S-400k'));
  const update = (
    phase: 'reading' | 'receiving',
    bytes: number,
    totalBytes: number | undefined,
    ms: number,
  ) => {
    vi.advanceTimersByTime(ms);
    watcher.update({ phase, bytes, totalBytes });
  };
  update('reading', 0, 100e6, 0);
  update('reading', 50e6, 100e6, 6000);
  update('receiving', 100e6, 200e6, 0);
  update('receiving', 120e6, 200e6, 6000);
  watcher.say('the connection broke');
  update('receiving', 120e6, undefined, 0);
  update('receiving', 130e6, undefined, 6000);
  watcher.stop();
  expect(terminal.printed.err).toMatchInlineSnapshot(`
    "verifying U-DiT-S-400k 50% (50.0 MB of 100 MB, 8.33 MB/s)
    fetching U-DiT-S-400k 60% (120 MB of 200 MB, 3.33 MB/s)
    the connection broke
    fetching U-DiT-S-400k 55% (130 MB of 236 MB, 1.67 MB/s)
    "
  `);
});
