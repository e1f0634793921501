/**
 * @file Work that one process at a time does: the others wait, and a killed process keeps nobody waiting.
 *
 * A process that this one sees holds its lock while it runs, however long it computes without a pause. One that cannot
 * be seen, of another machine or container, shows that it lives: a thread of it touches the lock, whatever its main
 * thread does.
 */
import { type FileHandle, link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { DataError } from '../../core/errors.ts';
import { type ProcessTable, processTable } from '../machine/processes-node.ts';
import { systemErrorCode, type UditErrorClass, wholeFileError } from './write-error-node.ts';

/** The holder touches its lock this often. */
const HEARTBEAT_MS = 5_000;
const POLL_MS = 200;
/**
 * Nobody holds a lock that was seen unchanged so many times, over 30 s: machines that sleep do not count then, and
 * clocks that differ do not matter.
 */
const ABANDONED_AFTER_POLLS = 30_000 / POLL_MS;
/** No clock is wrong by so much: a lock untouched for so long is nobody's at once. */
const ABANDONED_AFTER_MS = 600_000;

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told once when another process has the lock; what it throws ends the wait. */
  readonly onWait?: (holder: LockHolder) => void;
  /** Kind of error when the lock cannot be written, or is lost. Default: `DataError`. */
  readonly Failure?: UditErrorClass;
  /** Default: those of this machine. Tests have their own, with their own time. */
  readonly surroundings?: LockSurroundings;
}

export interface LockHolder {
  readonly processId: number;
  readonly host: string;
  /** {@link ProcessTable.space} of the holder. */
  readonly space: string;
  /** Start of the process; null where its system does not tell. */
  readonly start: string | null;
}

/** The lock, to the work that is done under it. */
export interface HeldLock {
  /**
   * To be called before anything is written that another process must not have written meanwhile: a process or a
   * machine that was suspended may have lost its lock.
   *
   * @throws the options' `Failure` if the lock is not ours any more
   */
  expectHeld(): Promise<void>;
}

export interface LockSurroundings {
  readonly processes: ProcessTable;
  /** Milliseconds since 1970. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Touches the file every `ms`, until the returned function is called. */
  touchEvery(ms: number, file: FileHandle): () => Promise<void>;
}

let locks = 0;

/** Does `work` while it holds the lock, a small file at `path`; its folder must exist. */
export async function withLock<T>(
  path: string,
  options: LockOptions,
  work: (lock: HeldLock) => Promise<T>,
): Promise<T> {
  const { Failure = DataError, surroundings = thisMachine() } = options;
  const { file, text } = await acquire(path, options, Failure, surroundings);
  const stopTouching = surroundings.touchEvery(HEARTBEAT_MS, file);
  const expectHeld = async (): Promise<void> => {
    let found = await readLock(path);
    if (found === undefined) {
      // For a moment it is not there while another process breaks one that was there before.
      await surroundings.sleep(POLL_MS);
      found = await readLock(path);
    }
    if (found?.text !== text) throw lostError(path, found?.holder, Failure);
  };
  try {
    return await work({ expectHeld });
  } finally {
    await stopTouching();
    await file.close();
    if ((await readLock(path))?.text === text) await rm(path, { force: true });
  }
}

function lostError(path: string, holder: LockHolder | undefined, Failure: UditErrorClass): Error {
  const taker = holder && `process ${holder.processId} of host ${holder.host}`;
  return new Failure({
    where: path,
    problem: taker === undefined ? 'the lock was removed' : `the lock was taken by ${taker}`,
    fix: 'nothing more is written here; start the command again once nobody else works in this folder',
  });
}

interface OwnLock {
  /** Stays open, so that only our own file is ever touched. */
  readonly file: FileHandle;
  readonly text: string;
}

async function acquire(
  path: string,
  { signal, onWait }: LockOptions,
  Failure: UditErrorClass,
  surroundings: LockSurroundings,
): Promise<OwnLock> {
  const { processes, now } = surroundings;
  const { host, space } = processes;
  const start = (await processes.startOf(process.pid)) ?? null;
  const holder: LockHolder = { processId: process.pid, host, space, start };
  const text = JSON.stringify({ ...holder, number: locks++ });
  let isTold = false;
  let seen: FoundLock | undefined;
  let unchanged = 0;
  const failure = (cause: unknown) => wholeFileError(path, cause, text.length, Failure);
  for (;;) {
    signal?.throwIfAborted();
    const file = await createLock(path, text).catch(async (cause) => Promise.reject(await failure(cause)));
    if (file !== undefined) return { file, text };
    const found = await readLock(path).catch(async (cause) => Promise.reject(await failure(cause)));
    if (found === undefined) continue;
    const isTouched = seen !== undefined && seen.text === found.text && seen.mtimeMs !== found.mtimeMs;
    unchanged = seen?.text === found.text && !isTouched ? unchanged + 1 : 0;
    seen = found;
    const state = await stateOf(found.holder, processes);
    const isSilent = unchanged >= ABANDONED_AFTER_POLLS || now() - found.mtimeMs > ABANDONED_AFTER_MS;
    if (state === 'ended' || (state === 'unseen' && isSilent)) {
      await breakLock(path, found.text);
      continue;
    }
    // One of this machine that is not seen may be of a container, or of the machine, before it was started again.
    const mayLive = state === 'running' || isTouched || found.holder?.host !== host;
    if (mayLive && !isTold && found.holder !== undefined) {
      isTold = true;
      onWait?.(found.holder);
    }
    await surroundings.sleep(POLL_MS);
  }
}

/** @returns undefined where there is one */
async function createLock(path: string, text: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx');
  } catch (cause) {
    if (systemErrorCode(cause) === 'EEXIST') return undefined;
    throw cause;
  }
  try {
    await file.writeFile(text);
    return file;
  } catch (cause) {
    await file.close();
    await rm(path, { force: true });
    throw cause;
  }
}

interface FoundLock {
  readonly text: string;
  /** Undefined while it is being written. */
  readonly holder: LockHolder | undefined;
  readonly mtimeMs: number;
}

/** Undefined if it has just been released. */
async function readLock(path: string): Promise<FoundLock | undefined> {
  try {
    const [text, { mtimeMs }] = [await readFile(path, 'utf8'), await stat(path)];
    return { text, holder: parseHolder(text), mtimeMs };
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

/** `unseen`: of another machine or container, or on a system that does not tell when a process started. */
async function stateOf(
  holder: LockHolder | undefined,
  processes: ProcessTable,
): Promise<'running' | 'ended' | 'unseen'> {
  if (holder?.space !== processes.space) return 'unseen';
  const start = await processes.startOf(holder.processId);
  if (start === undefined) return 'ended';
  if (start === null || holder.start === null) return 'unseen';
  return start === holder.start ? 'running' : 'ended';
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

function thisMachine(): LockSurroundings {
  return { processes: processTable(), now: Date.now, sleep, touchEvery };
}

/** The heartbeat: in a thread of its own, for a main thread that computes for a minute has no timers. */
const TOUCHING = `
  const { futimesSync } = require('node:fs');
  const { workerData: { file, ms } } = require('node:worker_threads');
  setInterval(() => {
    const now = new Date();
    try { futimesSync(file, now, now); } catch {} // such as a network that is away
  }, ms);
`;

function touchEvery(ms: number, file: FileHandle): () => Promise<void> {
  const worker = new Worker(TOUCHING, { eval: true, execArgv: [], workerData: { file: file.fd, ms } });
  worker.unref();
  // Without the thread, processes that see this one respect the lock all the same, and others may take it: the work hears
  // of that where it asks.
  worker.on('error', () => undefined);
  return async () => void (await worker.terminate());
}
