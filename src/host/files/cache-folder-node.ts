/** @file Where prepared data is kept between runs. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The parts of a process that decide the place; a test passes its own. */
export interface HostEnvironment {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * The cache folder: `$UDIT_CACHE` if set, else the platform's convention: `$XDG_CACHE_HOME/udit` or `~/.cache/udit`,
 * on macOS `~/Library/Caches/udit`, on Windows `%LOCALAPPDATA%\udit\cache`. Everything in it can be deleted at any time.
 */
export function cacheFolder(host: HostEnvironment = currentHost()): string {
  const { platform, home, variables } = host;
  if (variables.UDIT_CACHE) return variables.UDIT_CACHE;
  if (platform === 'win32') {
    return join(variables.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'udit', 'cache');
  }
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'udit');
  return join(variables.XDG_CACHE_HOME || join(home, '.cache'), 'udit');
}

function currentHost(): HostEnvironment {
  return { platform: process.platform, home: homedir(), variables: process.env };
}
