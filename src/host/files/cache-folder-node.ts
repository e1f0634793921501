/** @file Where prepared data is kept between runs. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { DataError } from '../../core/errors.ts';

/** The parts of a process that decide the place; a test passes its own. */
export interface HostEnvironment {
  readonly platform: NodeJS.Platform;
  /** Undefined for a user without one, as in a container that runs under any user number. */
  readonly home: string | undefined;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * The cache folder: `$UDIT_CACHE` if set, else the platform's convention: `$XDG_CACHE_HOME/udit` or `~/.cache/udit`,
 * on macOS `~/Library/Caches/udit`, on Windows `%LOCALAPPDATA%\udit\cache`. Everything in it can be deleted at any time.
 *
 * @throws DataError where it would lie in a home folder, and the user has none
 */
export function cacheFolder(host: HostEnvironment = currentHost()): string {
  const { platform, variables } = host;
  if (variables.UDIT_CACHE) return variables.UDIT_CACHE;
  const home = () => homeOf(host);
  if (platform === 'win32') {
    return join(variables.LOCALAPPDATA || join(home(), 'AppData', 'Local'), 'udit', 'cache');
  }
  if (platform === 'darwin') return join(home(), 'Library', 'Caches', 'udit');
  return join(variables.XDG_CACHE_HOME || join(home(), '.cache'), 'udit');
}

function homeOf({ home }: HostEnvironment): string {
  if (home !== undefined) return home;
  throw new DataError({
    where: 'cache',
    problem: 'the user has no home folder for it',
    fix: 'name a writable folder in UDIT_CACHE',
  });
}

function currentHost(): HostEnvironment {
  return { platform: process.platform, home: homeFolder(), variables: process.env };
}

/** Asking for it is an error where neither $HOME nor the list of users has one; an empty $HOME is none either. */
function homeFolder(): string | undefined {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined;
  } catch {
    return undefined;
  }
}
