/** @file What package.json, the lock file and the licence files promise, as far as it shows without installing. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const manifest = JSON.parse(read('package.json'));

interface LockedPackage {
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
const locked: Readonly<Record<string, LockedPackage>> = JSON.parse(read('package-lock.json')).packages;

it('pins every direct dependency to one version', () => {
  const ranges = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, range]) => !/^\d+\.\d+\.\d+$/.test(String(range)),
  );
  expect(ranges).toEqual([]);
});

it('downloads packages from the npm registry alone', () => {
  const elsewhere = Object.values(locked).filter(
    ({ resolved }) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'),
  );
  expect(elsewhere).toEqual([]);
});

it('runs no install script, so that nothing is downloaded from elsewhere or compiled', () => {
  expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true');
});

// npm ci refuses a lock file that lacks the binary packages of a platform, even of another one.
it('locks the binaries of every platform', () => {
  const missing = Object.entries(locked).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`${path}/node_modules/${name}` in locked) && !(`node_modules/${name}` in locked),
    ),
  );
  expect(missing).toEqual([]);
});

it('offers files that exist, or that the build makes from sources that exist', () => {
  for (const path of Object.values<string>(manifest.bin))
    expect(existsSync(new URL(`../${path}`, import.meta.url))).toBe(true);
  for (const [name, target] of Object.entries<{ default: string } | string | null>(manifest.exports)) {
    if (target === null || typeof target === 'string' || name.includes('*')) continue;
    const source = target.default.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts');
    expect(existsSync(new URL(`../${source}`, import.meta.url)), source).toBe(true);
  }
});

describe('a command that is not complete says in one error', () => {
  let folder: string;
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'udit incomplete ')));
    for (const path of ['bin', 'package.json']) {
      cpSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), join(folder, path), { recursive: true });
    }
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const version = () => {
    const { status, stderr } = spawnSync(process.execPath, [join(folder, 'bin/udit.js'), '--version'], {
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    return stderr.replaceAll(folder, 'FOLDER');
  };

  it('how to build the package', () => {
    expect(version()).toMatchInlineSnapshot(`
      "udit: FOLDER/: dist/cli/main.js is missing: scripts were switched off when the package was made
        fix: install from git without --ignore-scripts, or make the archive with npm run pack
      "
    `);
  });

  it('how to install what a clone needs', () => {
    mkdirSync(join(folder, 'src/cli'), { recursive: true });
    writeFileSync(join(folder, 'src/cli/main.ts'), '');
    expect(version()).toMatchInlineSnapshot(`
      "udit: FOLDER/: tsx is not installed
        fix: run npm ci in that folder
      "
    `);
  });
});

it('is under the Apache License and credits the artwork it is trained on', () => {
  expect(manifest.license).toBe('Apache-2.0');
  expect(read('LICENSE')).toMatch(/^\s+Apache License\n\s+Version 2\.0, January 2004\n/);
  expect(read('NOTICE')).toMatch(/Twemoji/);
  expect(read('NOTICE')).toMatch(/CC-BY 4\.0/);
  expect(manifest.files).toEqual(expect.arrayContaining(['LICENSE', 'NOTICE']));
});
