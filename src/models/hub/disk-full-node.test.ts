import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FileServer, file, raw, startFileServer } from '../../../test/support/file-server.ts';
import { type DownloadRequest, download } from './download-node.ts';

const CONTENT = Buffer.alloc(2 ** 20, 'weights');
const HASH = createHash('sha256').update(CONTENT).digest('hex');

let root: string;
let disk: string;
let isMounted: boolean;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit full '));
  disk = join(root, 'disk');
  await mkdir(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', disk], { stdio: 'ignore' });
    isMounted = true;
  } catch {
    isMounted = false;
  }
});
afterEach(async () => {
  if (isMounted) execFileSync('umount', [disk]);
  await rm(root, { recursive: true });
});

const request = ({ origin }: FileServer): DownloadRequest => ({
  source: { url: `${origin}/model`, headers: {}, advice: { refused: '', missing: '' } },
  partPath: join(disk, 'model.part'),
  bytes: undefined,
  sha256: HASH,
  otherFileFix: '',
});

async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error('nothing was thrown'),
    (thrown: Error) => thrown,
  );
  return error.message
    .replaceAll(root, 'ROOT')
    .replaceAll(/\d+ bytes|\d+ are free|\d+ that/g, (text) => text.replace(/\d+/, '#'));
}

test('too little room is found out before anything is downloaded', async ({ skip }) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  const server = await startFileServer(file(CONTENT));
  expect(await failure(download(request(server)))).toMatchInlineSnapshot(`
    "DownloadError: ROOT/disk/model.part: the disk is full: the rest needs # bytes, # are free; # that have arrived are kept
      fix: free some space and run the command again, or name a folder on another disk with --cache-dir"
  `);
  expect(await readdir(disk)).toEqual([]);
  await server.close();
});

test('a disk that fills up on the way keeps what has arrived', async ({ skip }) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  // The server does not say how much is to come.
  const server = await startFileServer(
    raw('HTTP/1.1 200 OK\r\nETag: "1"\r\n\r\n', CONTENT),
    file(CONTENT, { etag: '"1"' }),
  );
  expect(await failure(download(request(server)))).toMatchInlineSnapshot(`
    "DownloadError: ROOT/disk/model.part: the disk is full: the rest needs # bytes, # are free; # that have arrived are kept
      fix: free some space and run the command again, or name a folder on another disk with --cache-dir"
  `);
  const kept = await readFile(join(disk, 'model.part'));
  expect(kept.length).toBeGreaterThan(100_000);
  expect(kept.equals(CONTENT.subarray(0, kept.length))).toBe(true);

  execFileSync('mount', ['-o', 'remount,size=4m', disk]);
  expect((await download(request(server))).sha256).toBe(HASH);
  expect(server.requests[1]!.headers.range).toBe(`bytes=${kept.length}-`);
  await server.close();
});
