import { describe, expect, it } from 'vitest';
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
