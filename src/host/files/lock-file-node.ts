/** @file Work that one process at a time does: the others wait, and a killed process keeps nobody waiting. */
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataError } from '../../core/errors.ts';
import { systemErrorCode, type UditErrorClass, wholeFileError } from './write-error-node.ts';

/** The holder shows this often that it is alive. */
const HEARTBEAT_MS = 5_000;
/** A lock without a sign of life for so long is nobody's: its machine may be another that was switched off. */
const ABANDONED_AFTER_MS = 30_000;
const POLL_MS = 200;

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told once when another process has the lock; what it throws ends the wait. */
  readonly onWait?: (holder: LockHolder) => void;
  /** Kind of error when the lock cannot be written. Default: `DataError`. */
  readonly Failure?: UditErrorClass;
}

export interface LockHolder {
  readonly processId: number;
  readonly host: string;
  /** In milliseconds since 1970: when a container starts again, its processes get the same ids. */
  readonly startedAt: number;
}

let locks = 0;

/** Does `work` while it holds the lock, a small file at `path`; its folder must exist. */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const lock = await acquire(path, options);
  const heartbeat = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => undefined),
    HEARTBEAT_MS,
  );
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    // A machine that slept for long may have lost its lock to another.
    if ((await readLock(path))?.text === lock) await rm(path, { force: true });
  }
}

/** @returns what is written in the lock */
async function acquire(path: string, { signal, onWait, Failure = DataError }: LockOptions): Promise<string> {
  const holder: LockHolder = {
    processId: process.pid,
    host: hostname(),
    startedAt: performance.timeOrigin,
  };
  const lock = JSON.stringify(holder);
  for (let isTold = false; ; ) {
    signal?.throwIfAborted();
    try {
      await writeFile(path, lock, { flag: 'wx' });
      return lock;
    } catch (cause) {
      if (systemErrorCode(cause) !== 'EEXIST') throw await wholeFileError(path, cause, 0, Failure);
    }
    const found = await readLock(path);
    if (found === undefined) continue;
    if (isAbandoned(found)) {
      await breakLock(path, found.text);
      continue;
    }
    if (!isTold && found.holder !== undefined) {
      isTold = true;
      onWait?.(found.holder);
    }
    await sleep(POLL_MS);
  }
}

interface FoundLock {
  readonly text: string;
  /** Undefined while it is being written. */
  readonly holder: LockHolder | undefined;
  readonly silentMs: number;
}

/** Undefined if it has just been released. */
async function readLock(path: string): Promise<FoundLock | undefined> {
  try {
    const [text, { mtimeMs }] = [await readFile(path, 'utf8'), await stat(path)];
    return { text, holder: parseHolder(text), silentMs: Date.now() - mtimeMs };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return JSON.parse(text) as LockHolder;
  } catch {
    return undefined;
  }
}

function isAbandoned({ holder, silentMs }: FoundLock): boolean {
  if (silentMs > ABANDONED_AFTER_MS) return true;
  if (holder?.host !== hostname()) return false;
  if (holder.processId === process.pid) return holder.startedAt !== performance.timeOrigin;
  return !isRunning(holder.processId);
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** Removes the lock that was found, and no other: another process may have broken it and taken its own meanwhile. */
async function breakLock(path: string, found: string): Promise<void> {
  const aside = `${path}.${process.pid}-${locks++}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await readFile(aside, 'utf8')) !== found) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}
