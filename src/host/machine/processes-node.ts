/** @file Which processes run: a process id is given out again after its process has ended, a start time is not. */
import { execFile } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { promisify } from 'node:util';

export interface ProcessTable {
  readonly host: string;
  /** The same for processes that see each other: those of one container, since the system started. */
  readonly space: string;
  /**
   * Start time of a process, in the system's own form; null where the system does not tell; undefined where no such
   * process runs.
   */
  startOf(processId: number): Promise<string | null | undefined>;
}

/** The processes of this machine, as far as this one sees them. */
export function processTable(platform: NodeJS.Platform = process.platform): ProcessTable {
  const host = hostname();
  return {
    host,
    space: platform === 'linux' ? [host, ...linuxSpace()].join(' ') : host,
    async startOf(processId) {
      if (!isThere(processId)) return undefined;
      if (platform === 'win32') return null;
      return platform === 'linux' ? linuxStart(processId) : psStart(processId);
    },
  };
}

/** @param stat - as `/proc/PID/stat`: id, name in brackets, state, and further numbers; the start is the 22nd */
export function startInStat(stat: string): string | undefined {
  // A name may itself hold brackets and spaces.
  const [state, ...numbers] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return isOver(state!) ? undefined : numbers[18];
}

/** @param line - what `ps -o stat= -o lstart=` prints of a process */
export function startInPs(line: string): string | undefined {
  const [state, ...start] = line.trim().split(/\s+/);
  return isOver(state!) ? undefined : start.join(' ');
}

/** A process that was killed keeps its id until its parent asks for its exit code, which some never do. */
function isOver(state: string): boolean {
  return /^[ZX]/.test(state);
}

function isThere(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Start of the system, and the container. */
function linuxSpace(): string[] {
  try {
    return [
      readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      readlinkSync('/proc/self/ns/pid'),
    ];
  } catch {
    return [];
  }
}

async function linuxStart(processId: number): Promise<string | null | undefined> {
  try {
    return startInStat(await readFile(`/proc/${processId}/stat`, 'utf8'));
  } catch {
    // Some systems hide the processes of other users.
    return null;
  }
}

async function psStart(processId: number): Promise<string | null | undefined> {
  const columns = ['-o', 'stat=', '-o', 'lstart=', '-p', String(processId)];
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  try {
    return startInPs((await promisify(execFile)('ps', columns, { env })).stdout);
  } catch {
    return null;
  }
}
