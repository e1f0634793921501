import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const program = fileURLToPath(new URL('../../../test/support/memory-of-workers.ts', import.meta.url));

async function memoryOf(workers: number): Promise<{ readonly taken: number; readonly limit: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program, `${workers}`]);
  return JSON.parse(stdout);
}

test('a worker takes what is said of it at most, and not much less', async () => {
  const [one, three] = [await memoryOf(1), await memoryOf(3)];
  const perWorker = (three.taken - one.taken) / 2;
  expect(perWorker).toBeLessThan(one.limit);
  expect(perWorker).toBeGreaterThan(one.limit / 3);
});
