import { expect, test } from 'vitest';
import { Contestant } from './contestant.ts';

const node = (script: string) => Contestant.start('test', process.execPath, ['-e', script]);

test('speaks the protocol: an introduction, seconds, and the peak at the end', async () => {
  const contestant = await node(`
    const say = (answer) => console.log(JSON.stringify(answer));
    say({ ready: true, version: '1.0' });
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const [request, count] = line.split(' ');
      if (request === 'quit') say({ peak_rss_mb: 42 });
      else say({ seconds: Array(Number(count)).fill(0.5) });
    });`);
  expect(contestant.introduction).toEqual({ version: '1.0' });
  expect(await contestant.run(2)).toEqual([0.5, 0.5]);
  expect(await contestant.quit()).toBe(42);
});

test('names the last words of a program that does not get ready', async () => {
  const failing = node(`console.error('no torch here'); process.exitCode = 1;`);
  await expect(failing).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: the program ended before it was ready: no torch here]`,
  );
});

test('says when a program ends without an answer', async () => {
  const silent = await node(`console.log('{"ready":true}')`);
  await expect(silent.run(1)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench test: the program ended without an answer to "run 1"]`,
  );
});
