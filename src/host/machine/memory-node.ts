/** @file How much memory there is to compute in. */
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';

/** All that this process can ever have: the limit of its container where there is one, else the machine's memory. */
export function memoryLimit(limit = process.constrainedMemory(), total = totalmem()): number {
  // Without a limit it is 0, or more than any machine has.
  return limit > 0 ? Math.min(limit, total) : total;
}

/** What is free of it now. */
export function freeMemory(): number {
  return process.availableMemory();
}

/** What objects, strings and lists of this process may take; beyond it, the process is aborted. */
export function heapLimit(): number {
  return getHeapStatistics().heap_size_limit;
}
