/** @file What package.json, the lock file and the licence files promise, as far as it shows without installing. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

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

it('is under the Apache License and credits the artwork it is trained on', () => {
  expect(manifest.license).toBe('Apache-2.0');
  expect(read('LICENSE')).toMatch(/^\s+Apache License\n\s+Version 2\.0, January 2004\n/);
  expect(read('NOTICE')).toMatch(/Twemoji/);
  expect(read('NOTICE')).toMatch(/CC-BY 4\.0/);
  expect(manifest.files).toEqual(expect.arrayContaining(['LICENSE', 'NOTICE']));
});
