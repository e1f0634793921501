import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Answer,
  type FileServer,
  file,
  redirect,
  startFileServer,
} from '../../../test/support/file-server.ts';
import type { PublishedFile } from './catalogue.ts';
import { type FetchOptions, fetchWeights, locatePublished } from './fetch-weights-node.ts';
import { WeightsCache } from './weights-cache-node.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const CONTENT = Buffer.from('weights '.repeat(100));
const OTHER = Buffer.from('WEIGHTS '.repeat(100));

/** Published at an address where nothing is; a mirror stands in for it. */
const TINY: PublishedFile = {
  name: 'Tiny',
  kind: 'denoiser',
  about: 'a model for tests',
  use: 'try it',
  url: 'https://example.invalid/models/tiny.pt',
  page: 'https://example.invalid/tiny',
  size: { bytes: CONTENT.length, exact: true },
  licence: 'CC-BY-NC-4.0',
};
const HASHED: PublishedFile = { ...TINY, sha256: sha256(CONTENT) };

let root: string;
let cache: WeightsCache;
let servers: FileServer[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit fetch '));
  cache = new WeightsCache(root);
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await rm(root, { recursive: true });
});

async function serve(...answers: readonly Answer[]): Promise<FileServer> {
  const server = await startFileServer(...answers);
  servers.push(server);
  return server;
}

const options = (server: FileServer | undefined, more: FetchOptions = {}): FetchOptions => ({
  cache,
  mirror: server?.origin,
  retryDelayMs: 1,
  acceptLicence: () => true,
  ...more,
});

async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error('nothing was thrown'),
    (thrown: Error) => thrown,
  );
  return error.message.replaceAll(root, 'ROOT').replaceAll(/http:\/\/127[\d.:]+/g, 'SERVER');
}

const names = async () => (await readdir(cache.folder)).sort();

describe('fetching', () => {
  test('puts the whole file into the cache, once', async () => {
    const server = await serve(file(CONTENT));
    const fetched = await fetchWeights(HASHED, options(server));
    expect(fetched).toEqual({
      url: `${server.origin}/models/tiny.pt`,
      path: join(root, 'weights', 'Tiny.pt'),
      bytes: CONTENT.length,
      sha256: sha256(CONTENT),
      hashSource: 'catalogue',
      isNew: true,
    });
    expect(await readFile(fetched.path)).toEqual(CONTENT);
    expect(await names()).toEqual(['Tiny.pt', 'Tiny.pt.sha256.json', 'licence-CC-BY-NC-4.0.json']);
    expect(await fetchWeights(HASHED, options(server))).toEqual({ ...fetched, isNew: false });
    expect(server.requests).toHaveLength(1);
  });

  test('two at once download it once', async () => {
    const server = await serve(file(CONTENT));
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const both = await Promise.all([1, 2].map(() => fetchWeights(HASHED, options(server, { onNotice }))));
    expect(both.map(({ isNew }) => isNew).sort()).toEqual([false, true]);
    expect(server.requests).toHaveLength(1);
    expect(notices).toEqual([`process ${process.pid} is fetching it already: waiting`]);
  });

  test('a file that has changed in the cache is fetched again', async () => {
    const server = await serve(file(CONTENT));
    const { path } = await fetchWeights(HASHED, options(server));
    await writeFile(path, OTHER);
    const notices: string[] = [];
    const again = await fetchWeights(
      HASHED,
      options(server, { onNotice: (notice) => notices.push(notice.replaceAll(root, 'ROOT')) }),
    );
    expect(again.isNew).toBe(true);
    expect(await readFile(path)).toEqual(CONTENT);
    expect(notices).toEqual(['ROOT/weights/Tiny.pt has changed since it was fetched: fetching it again']);
  });

  test('a file that is cut off in the cache is fetched again', async () => {
    const server = await serve(file(CONTENT));
    const { path } = await fetchWeights(HASHED, options(server));
    await writeFile(path, CONTENT.subarray(0, 10));
    expect((await fetchWeights(HASHED, options(server))).isNew).toBe(true);
  });
});

describe('a hash that the catalogue does not have', () => {
  test('is that of the first download, and later ones must have it', async () => {
    const first = await fetchWeights(TINY, options(await serve(file(CONTENT))));
    expect(first).toMatchObject({ sha256: sha256(CONTENT), hashSource: 'first download' });
    await rm(first.path);
    const server = await serve(file(OTHER));
    expect(await failure(fetchWeights(TINY, options(server)))).toMatchInlineSnapshot(`
      "DownloadError: SERVER/models/tiny.pt: what came is not the published file
        received  a0432170896c39c88948b799b05149e7b4ef1331174c2506890107612d40cb7f
        expected  1f21b4d297981071e1ca4b7fbb6818b6d8d1364e81ed16cab68e86b9f6d72d00
        fix: if its publisher has replaced the file since, delete ROOT/weights/Tiny.pt.sha256.json and run the command again"
    `);
    expect(await names()).toEqual(['Tiny.pt.sha256.json', 'licence-CC-BY-NC-4.0.json']);
    await rm(cache.recordPathOf(TINY));
    expect((await fetchWeights(TINY, options(server))).sha256).toBe(sha256(OTHER));
  });

  test('is the one that its server announces', async () => {
    const cdn = await serve(file(CONTENT));
    const announced = { 'x-linked-etag': `"${sha256(CONTENT)}"`, 'x-linked-size': String(CONTENT.length) };
    const hub = await serve(redirect(`${cdn.origin}/blob`, announced));
    expect(await fetchWeights(TINY, options(hub))).toMatchObject({ hashSource: 'server', isNew: true });
    const { path } = (await cache.find(TINY))!;
    await rm(path);
    const bad = await serve(redirect(`${(await serve(file(OTHER))).origin}/blob`, announced));
    expect(await failure(fetchWeights(TINY, options(bad)))).toMatch(/what came is not the published file/);
  });

  test('an approximate size is no reason to refuse', async () => {
    const loose = { ...TINY, size: { bytes: 1, exact: false } };
    expect((await fetchWeights(loose, options(await serve(file(CONTENT))))).bytes).toBe(CONTENT.length);
  });
});

describe('licences', () => {
  test('are asked about once', async () => {
    const server = await serve(file(CONTENT));
    const asked: string[] = [];
    const acceptLicence: FetchOptions['acceptLicence'] = (licence, { name }) => {
      asked.push(`${name}: ${licence.name}`);
      return true;
    };
    await fetchWeights(TINY, options(server, { acceptLicence }));
    await fetchWeights({ ...TINY, name: 'Tiny-2' }, options(server, { acceptLicence }));
    expect(asked).toEqual(['Tiny: Creative Commons Attribution-NonCommercial 4.0']);
    const remembered = JSON.parse(await readFile(join(cache.folder, 'licence-CC-BY-NC-4.0.json'), 'utf8'));
    expect(remembered).toMatchObject({ url: 'https://creativecommons.org/licenses/by-nc/4.0/' });
  });

  test('that are not accepted', async () => {
    const server = await serve(file(CONTENT));
    for (const acceptLicence of [undefined, () => false]) {
      expect(await failure(fetchWeights(TINY, { ...options(server), acceptLicence }))).toMatchInlineSnapshot(`
        "ConfigError: Tiny: its licence has not been accepted: Creative Commons Attribution-NonCommercial 4.0 (non-commercial use only)
          text       https://creativecommons.org/licenses/by-nc/4.0/
          stated at  https://example.invalid/tiny
          fix: read it, then run the command again with --accept-license"
      `);
    }
    expect(server.requests).toEqual([]);
    expect(await names()).toEqual([]);
  });
});

describe('offline', () => {
  test('the cache is enough', async () => {
    await fetchWeights(TINY, options(await serve(file(CONTENT))));
    expect(await fetchWeights(TINY, options(undefined, { offline: true }))).toMatchObject({ isNew: false });
  });

  test('what is not there', async () => {
    expect(await failure(fetchWeights(TINY, options(undefined, { offline: true })))).toMatchInlineSnapshot(`
      "DownloadError: Tiny: these published weights are not in the cache, ROOT/weights
        fix: fetch them with: npx udit fetch Tiny (800 bytes)"
    `);
  });

  test('what has changed there', async () => {
    const { path } = await fetchWeights(TINY, options(await serve(file(CONTENT))));
    await writeFile(path, OTHER);
    expect(await failure(fetchWeights(TINY, options(undefined, { offline: true })))).toMatchInlineSnapshot(`
      "DownloadError: ROOT/weights/Tiny.pt: has changed since it was fetched
        SHA-256 now   a0432170896c39c88948b799b05149e7b4ef1331174c2506890107612d40cb7f
        SHA-256 then  1f21b4d297981071e1ca4b7fbb6818b6d8d1364e81ed16cab68e86b9f6d72d00
        fix: run the command without --offline to fetch it again"
    `);
    expect(await readFile(path)).toEqual(OTHER);
  });
});

test('a cache folder that cannot be made', async () => {
  await writeFile(join(root, 'file'), '');
  const blocked = options(undefined, { cache: new WeightsCache(join(root, 'file')) });
  expect(await failure(fetchWeights(TINY, blocked))).toMatchInlineSnapshot(`
    "DownloadError: ROOT/file/weights: there is a file where a folder is needed
      fix: name a folder that you may write into with --cache-dir or UDIT_CACHE"
  `);
});

test('a cache folder that cannot be written', async ({ skip }) => {
  if (process.getuid?.() === 0) skip('root may write everywhere');
  await chmod(root, 0o500);
  expect(await failure(fetchWeights(TINY, options(undefined)))).toMatch(
    /^DownloadError: ROOT\/weights: .*EACCES/,
  );
  await chmod(root, 0o700);
});

describe('a name in place of a path', () => {
  test('is nothing unless it is published', async () => {
    expect(await locatePublished('runs/mine', 'denoiser', cache)).toBeUndefined();
  });

  test('is the file in the cache', async () => {
    const path = join(cache.folder, 'U-DiT-S-400k.pt');
    const server = await serve(file(CONTENT));
    const { findPublished } = await import('./catalogue.ts');
    await fetchWeights(findPublished('U-DiT-S-400k')!, options(server));
    expect(await locatePublished('u-dit-s-400k', 'denoiser', cache)).toBe(path);
  });

  test('that is not in the cache', async () => {
    expect(await failure(locatePublished('u-dit-s-400k', 'denoiser', cache))).toMatchInlineSnapshot(`
      "DownloadError: U-DiT-S-400k: these published weights are not in the cache, ROOT/weights
        fix: fetch them with: npx udit fetch U-DiT-S-400k (236 MB)"
    `);
  });

  test('that is something else', async () => {
    expect(await failure(locatePublished('sd-vae-ft-mse', 'denoiser', cache))).toMatchInlineSnapshot(`
      "ConfigError: sd-vae-ft-mse: this is of kind "autoencoder"; kind "denoiser" is needed
        fix: choose another: npx udit fetch --list"
    `);
  });
});
