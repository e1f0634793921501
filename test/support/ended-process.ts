/** @file An id of which no process runs. */
import { spawnSync } from 'node:child_process';

/** Id of a process that has ended. */
export function endedProcess(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}
