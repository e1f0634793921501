import { totalmem } from 'node:os';
import { expect, test } from 'vitest';
import { freeMemory, heapLimit, memoryLimit } from './memory-node.ts';

test('the limit of a container counts where it is less than the machine has', () => {
  expect(memoryLimit(2e9, 8e9)).toBe(2e9);
  expect(memoryLimit(16e9, 8e9)).toBe(8e9);
});

test('no limit is told as 0, or as more than any machine has', () => {
  expect(memoryLimit(0, 8e9)).toBe(8e9);
  expect(memoryLimit(2 ** 64, 8e9)).toBe(8e9);
});

test('what this process is told', () => {
  expect(memoryLimit()).toBeGreaterThan(0);
  expect(memoryLimit()).toBeLessThanOrEqual(totalmem());
  expect(freeMemory()).toBeGreaterThan(0);
  expect(heapLimit()).toBeGreaterThan(process.memoryUsage().heapUsed);
});
