import { afterEach, describe, expect, it, vi } from 'vitest';
import { DataError } from '../../core/errors.ts';
import { cacheFolder, type HostEnvironment } from './cache-folder-node.ts';

const host = (
  variables: HostEnvironment['variables'],
  platform: NodeJS.Platform = 'linux',
): HostEnvironment => ({
  platform,
  home: '/home/ada',
  variables,
});

describe('cacheFolder', () => {
  it('obeys $UDIT_CACHE everywhere', () => {
    for (const platform of ['linux', 'darwin', 'win32'] as const) {
      expect(cacheFolder(host({ UDIT_CACHE: '/big/cache', XDG_CACHE_HOME: '/xdg' }, platform))).toBe(
        '/big/cache',
      );
    }
  });

  it('follows the convention of the platform', () => {
    expect(cacheFolder(host({}))).toBe('/home/ada/.cache/udit');
    expect(cacheFolder(host({ XDG_CACHE_HOME: '/xdg' }))).toBe('/xdg/udit');
    expect(cacheFolder(host({}, 'darwin'))).toBe('/home/ada/Library/Caches/udit');
    expect(cacheFolder(host({ LOCALAPPDATA: '/local' }, 'win32'))).toBe('/local/udit/cache');
    expect(cacheFolder(host({}, 'win32'))).toBe('/home/ada/AppData/Local/udit/cache');
  });
});

describe('a user without a home folder', () => {
  const homeless = (variables: HostEnvironment['variables'], platform?: NodeJS.Platform) =>
    cacheFolder({ ...host(variables, platform), home: undefined });

  it('needs none where a variable names the place', () => {
    expect(homeless({ UDIT_CACHE: '/big/cache' })).toBe('/big/cache');
    expect(homeless({ XDG_CACHE_HOME: '/xdg' })).toBe('/xdg/udit');
    expect(homeless({ LOCALAPPDATA: '/local' }, 'win32')).toBe('/local/udit/cache');
  });

  it('is told to name a place otherwise', () => {
    expect(() => homeless({}, 'darwin')).toThrowError(DataError);
    expect(() => homeless({})).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: cache: the user has no home folder for it
        fix: name a writable folder in UDIT_CACHE]
    `);
  });

  afterEach(() => vi.unstubAllEnvs());

  it.skipIf(process.platform === 'win32')('is one with an empty $HOME too', () => {
    for (const name of ['UDIT_CACHE', 'XDG_CACHE_HOME', 'HOME']) vi.stubEnv(name, '');
    expect(() => cacheFolder()).toThrowError(DataError);
  });
});
