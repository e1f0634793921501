import { afterEach, expect, test } from 'vitest';
import { Contestant } from './contestant.ts';

let ended = new AbortController();
afterEach(() => {
  ended.abort();
  ended = new AbortController();
});

const start = (...scripts: readonly string[]) =>
  Contestant.start(
    'test',
    scripts.map((script) => ({ program: process.execPath, args: ['-e', script] })),
    ended.signal,
  );

/** A program that says it took from `begin` to `end`. */
const obedient = (begin: number, end: number, peakMb: number) => `
  const say = (answer) => console.log(JSON.stringify(answer));
  say({ ready: true, version: '1.0' });
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    if (line === 'quit') say({ peak_rss_mb: ${peakMb} });
    else say({ interval: [${begin}, ${end}] });
  });`;

test('speaks the protocol: an introduction, seconds, and the peak at the end', async () => {
  const contestant = await start(obedient(10, 10.5, 42));
  expect(contestant.introduction).toEqual({ version: '1.0' });
  expect([await contestant.run(), await contestant.run()]).toEqual([0.5, 0.5]);
  expect(await contestant.quit()).toEqual({ totalMb: 42, largestMb: 42 });
});

test('of several processes the time is from the first begin to the last end, the memory their sum', async () => {
  const contestant = await start(obedient(10, 12, 40), obedient(11, 14, 50));
  expect(await contestant.run()).toBe(4);
  expect(await contestant.quit()).toEqual({ totalMb: 90, largestMb: 50 });
});

test('names the last words of a program that does not get ready', async () => {
  const failing = start(obedient(0, 1, 1), `throw new RangeError('no torch here')`);
  await expect(failing).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: the program ended before it was ready: RangeError: no torch here]`,
  );
});

test('says that a program does not exist', async () => {
  const missing = Contestant.start('test', [{ program: '/no/such/program', args: [] }], ended.signal);
  await expect(missing).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: spawn /no/such/program ENOENT]`,
  );
});

test('says when a program ends without an answer', async () => {
  const silent = await start(`console.log('{"ready":true}')`);
  await expect(silent.run()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: the program ended without an answer to "run"]`,
  );
});

test('passes on what a program says is wrong', async () => {
  const helpless = await start(`
    console.log('{"ready":true}');
    process.stdin.once('data', () => console.log('{"error":"out of memory"}'));`);
  await expect(helpless.run()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: out of memory]`,
  );
});

test('is stopped by its signal, with the reason as error', async () => {
  const sleeping = await start(`console.log('{"ready":true}'); setInterval(() => {}, 1000);`);
  const running = sleeping.run();
  ended.abort(new Error('stopped by Ctrl-C'));
  await expect(running).rejects.toThrow('stopped by Ctrl-C');
});
