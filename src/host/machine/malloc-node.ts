/**
 * @file Memory that a training step frees and asks for again stays with the process. glibc hands large blocks back to
 * the system, which fills them with zeros when they are asked for again: up to a quarter of a step (LOG.md).
 */
import { isMainThread } from 'node:worker_threads';

// Options of glibc's mallopt(3).
const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;

/** Blocks below this size come from the heap, which keeps what is freed. */
const LARGEST_HEAP_BLOCK = 2 ** 30;
const NEVER_TRIM = 2 ** 31 - 1;

let kept: Promise<boolean> | undefined;

/**
 * Holds for the whole process, and from the first call on; to be called on the main thread.
 *
 * @returns false where it cannot be said to the allocator: not glibc, or koffi, an optional dependency, is not installed
 */
export function keepFreedMemory(): Promise<boolean> {
  kept ??= setThresholds();
  return kept;
}

async function setThresholds(): Promise<boolean> {
  if (process.platform !== 'linux' || !isMainThread) return false;
  try {
    const { default: koffi } = await import('koffi');
    const mallopt = koffi.load('libc.so.6').func('int mallopt(int, int)');
    // Heaps of further threads are small and given back whole: threads share the main one.
    return (
      mallopt(M_ARENA_MAX, 1) === 1 &&
      mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK) === 1 &&
      mallopt(M_TRIM_THRESHOLD, NEVER_TRIM) === 1
    );
  } catch {
    return false;
  }
}
