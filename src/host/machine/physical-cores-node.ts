/** @file How many processor cores there are to compute with. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const LINUX_CPUS = '/sys/devices/system/cpu';
const LINUX_STATUS = '/proc/self/status';

/**
 * Cores that this process may use, not counting hyperthreads: two threads of one core share its arithmetic units, and
 * matrix products leave nothing of those to share. Where the system does not tell, the number of threads.
 */
export function physicalCores(): number {
  const threads = availableParallelism();
  return Math.min(threads, coresOf(process.platform) ?? threads);
}

function coresOf(platform: NodeJS.Platform): number | undefined {
  try {
    if (platform === 'linux') return linuxCores(LINUX_CPUS, LINUX_STATUS);
    if (platform === 'darwin')
      return positive(Number(execFileSync('sysctl', ['-n', 'hw.physicalcpu'], { encoding: 'utf8' })));
  } catch {
    // Not told here, as in some containers.
  }
  return undefined;
}

/**
 * @param cpuFolder - as `/sys/devices/system/cpu`: each `cpu<n>/topology/thread_siblings_list` names the threads of a core
 * @param statusPath - as `/proc/self/status`, which says which of them this process may use
 */
export function linuxCores(cpuFolder: string, statusPath: string): number | undefined {
  const allowed = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync(statusPath, 'utf8'))?.[1];
  const cpus = readdirSync(cpuFolder).flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? []);
  const usable = cpus.map(Number).filter((cpu) => allowed === undefined || isListed(cpu, allowed));
  const cores = usable.map((cpu) =>
    readFileSync(join(cpuFolder, `cpu${cpu}`, 'topology', 'thread_siblings_list'), 'utf8').trim(),
  );
  return positive(new Set(cores).size);
}

/** Is `cpu` in a list such as `0-3,8`? */
function isListed(cpu: number, list: string): boolean {
  return list.split(',').some((range) => {
    const [first, last = first] = range.split('-').map(Number) as [number, number?];
    return cpu >= first && cpu <= last;
  });
}

function positive(count: number): number | undefined {
  return count >= 1 ? count : undefined;
}
