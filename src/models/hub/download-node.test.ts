import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type Answer,
  type FileServer,
  file,
  raw,
  redirect,
  startFileServer,
  status,
} from '../../../test/support/file-server.ts';
import { type DownloadOptions, type DownloadRequest, download } from './download-node.ts';

const CONTENT = Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 7 + (i >> 3)) & 255));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const HASH = sha256(CONTENT);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit download '));
});
afterAll(() => rm(folder, { recursive: true }));

let part: string;
let servers: FileServer[];
beforeEach(() => {
  part = join(folder, `${crypto.randomUUID()}.part`);
  servers = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(servers.map((server) => server.close()));
});

async function serve(...answers: readonly Answer[]): Promise<FileServer> {
  const server = await startFileServer(...answers);
  servers.push(server);
  return server;
}

/** Serves so many of the bytes that are asked for, waits until they have arrived, and fails. */
function cut(
  after: number,
  how: 'close' | 'reset' | 'stall' = 'close',
  content = CONTENT,
  etag?: string,
): Answer {
  const haveArrived = (bytes: number) => statSync(part, { throwIfNoEntry: false })?.size === bytes;
  return file(content, { cut: { after, how }, haveArrived, ...(etag === undefined ? {} : { etag }) });
}

interface Tried {
  readonly notices: string[];
  readonly result: Awaited<ReturnType<typeof download>>;
}

/** Downloads `/model` quickly and impatiently. */
async function tryDownload(
  server: Pick<FileServer, 'origin'>,
  request: Partial<DownloadRequest> & { readonly headers?: Readonly<Record<string, string>> } = {},
  options: DownloadOptions = {},
): Promise<Tried> {
  const notices: string[] = [];
  const { headers = {}, ...rest } = request;
  const advice = { refused: 'ADVICE ON REFUSAL', missing: 'ADVICE ON ABSENCE' };
  const result = await download(
    {
      source: { url: `${server.origin}/model`, headers, advice },
      partPath: part,
      bytes: undefined,
      sha256: undefined,
      otherFileFix: 'ADVICE ON ANOTHER FILE',
      ...rest,
    },
    {
      retryDelayMs: 1,
      idleTimeoutMs: 20_000,
      onNotice: (notice) => notices.push(notice.replaceAll(server.origin, 'SERVER')),
      ...options,
    },
  );
  return { notices, result };
}

async function failure(...args: Parameters<typeof tryDownload>): Promise<string> {
  const error = await tryDownload(...args).then(
    () => new Error('nothing was thrown'),
    (thrown: Error) => thrown,
  );
  const known = error.message.replaceAll(folder, 'FOLDER').replaceAll(/[\w-]{36}\.part/g, 'model.part');
  return servers.reduce((text, { origin }, i) => text.replaceAll(origin, `SERVER${i || ''}`), known);
}

const rangesOf = ({ requests }: FileServer) => requests.map(({ headers }) => headers.range);

describe('what arrives', () => {
  test('is the file, hashed on its way', async () => {
    const server = await serve(file(CONTENT));
    const progress: unknown[] = [];
    const { result } = await tryDownload(server, {}, { onProgress: (step) => progress.push(step) });
    expect(result).toEqual({ bytes: 1000, sha256: HASH, announcedSha256: undefined });
    expect(await readFile(part)).toEqual(CONTENT);
    expect(progress[0]).toEqual({ phase: 'receiving', bytes: 0, totalBytes: 1000 });
    expect(progress.at(-1)).toEqual({ phase: 'receiving', bytes: 1000, totalBytes: 1000 });
    expect(server.requests[0]!.headers['accept-encoding']).toBe('identity');
  });

  test('goes on after every interruption, asking for the rest of the same version', async () => {
    const server = await serve(cut(300), cut(300, 'reset'), cut(300, 'stall'), file(CONTENT));
    const { result, notices } = await tryDownload(server, {}, { idleTimeoutMs: 400 });
    expect(result.sha256).toBe(HASH);
    expect(rangesOf(server)).toEqual([undefined, 'bytes=300-', 'bytes=600-', 'bytes=900-']);
    expect(server.requests[3]!.headers['if-range']).toBe('"version 1"');
    expect(notices).toEqual([
      'the connection broke (UND_ERR_SOCKET); trying again in 1 s',
      'the connection broke (ECONNRESET); trying again in 1 s',
      'nothing came for 0.4 s; trying again in 1 s',
    ]);
  });

  test('in a later run goes on where the first one stopped', async () => {
    const server = await serve(cut(400), file(CONTENT));
    await failure(server, {}, { retries: 0 });
    const progress: unknown[] = [];
    const { result } = await tryDownload(server, {}, { onProgress: (step) => progress.push(step) });
    expect(result).toEqual({ bytes: 1000, sha256: HASH, announcedSha256: undefined });
    expect(rangesOf(server)).toEqual([undefined, 'bytes=400-']);
    expect(progress[0]).toEqual({ phase: 'reading', bytes: 400, totalBytes: 400 });
  });

  test('is all there when a run was killed right before the end', async () => {
    const server = await serve(file(CONTENT));
    await tryDownload(server);
    expect((await tryDownload(server)).result.sha256).toBe(HASH);
    expect(rangesOf(server)).toEqual([undefined, 'bytes=1000-']);
  });

  test('of another address is not continued', async () => {
    const [one, other] = [await serve(file(CONTENT)), await serve(file(CONTENT))];
    await tryDownload(one);
    await tryDownload(other);
    expect(rangesOf(other)).toEqual([undefined]);
  });
});

describe('a download starts over', () => {
  const OTHER = Buffer.from(CONTENT).reverse();
  const startingOver = 'the server does not go on from 300 bytes: starting over';

  test('when the server does not know ranges', async () => {
    const server = await serve(cut(300), file(CONTENT, { ranges: false }));
    const { result, notices } = await tryDownload(server);
    expect(result).toMatchObject({ bytes: 1000, sha256: HASH });
    expect(notices.at(-1)).toBe(startingOver);
  });

  test('when the file has changed', async () => {
    const server = await serve(cut(300), file(OTHER, { etag: '"version 2"' }));
    const { result, notices } = await tryDownload(server);
    expect(result.sha256).toBe(sha256(OTHER));
    expect(await readFile(part)).toEqual(OTHER);
    expect(notices.at(-1)).toBe(startingOver);
  });

  test('when the file has changed and the server sends its rest all the same', async () => {
    const changed: Answer = (request, response) => {
      delete request.headers['if-range'];
      file(OTHER, { etag: '"version 2"' })(request, response);
    };
    const server = await serve(cut(300), changed);
    const { result } = await tryDownload(server);
    expect(result.sha256).toBe(sha256(OTHER));
    expect(rangesOf(server)).toEqual([undefined, 'bytes=300-', undefined]);
  });

  test('when the server sends another range', async () => {
    const wrong = status(
      206,
      { 'content-range': 'bytes 200-999/1000', etag: '"version 1"' },
      'x'.repeat(800),
    );
    const server = await serve(cut(300), wrong, file(CONTENT));
    expect((await tryDownload(server)).result.sha256).toBe(HASH);
    expect(rangesOf(server)).toEqual([undefined, 'bytes=300-', undefined]);
  });

  test('when nothing tells which version the part is of, except a hash', async () => {
    const weak = cut(300, 'close', CONTENT, 'W/"version 1"');
    const unknown = await serve(weak, file(CONTENT));
    await tryDownload(unknown);
    expect(rangesOf(unknown)).toEqual([undefined, undefined]);
    await rm(part);
    const known = await serve(weak, file(CONTENT));
    await tryDownload(known, { sha256: HASH });
    expect(rangesOf(known)).toEqual([undefined, 'bytes=300-']);
  });
});

describe('servers that are busy', () => {
  test('are left alone for as long as they ask', async () => {
    const server = await serve(status(429, { 'retry-after': '0' }), status(503), file(CONTENT));
    const { result, notices } = await tryDownload(server, {}, { retryDelayMs: 3 });
    expect(result.sha256).toBe(HASH);
    expect(notices).toEqual([
      'the server answers 429 Too Many Requests; trying again in 0 s',
      'the server answers 503 Service Unavailable; trying again in 1 s',
    ]);
  });

  test('for too long', async () => {
    const server = await serve(status(429, { 'retry-after': '3600' }));
    expect(await failure(server)).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server answers 429 Too Many Requests, and asks to wait 3600 s; nothing has arrived
        fix: try again later"
    `);
    expect(server.requests).toHaveLength(1);
  });

  test('or broken', async () => {
    const server = await serve(status(500));
    expect(await failure(server, {}, { retries: 2 })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server answers 500 Internal Server Error, 3 times in a row; nothing has arrived
        fix: try again later"
    `);
    expect(server.requests).toHaveLength(3);
    expect(existsSync(part)).toBe(false);
  });

  test('or send nothing', async () => {
    expect(
      await failure(await serve(status(200, { 'content-length': '0' })), {}, { retries: 1 }),
    ).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server sends an empty file, 2 times in a row; nothing has arrived
        fix: try again later"
    `);
  });

  test('or end every connection early', async () => {
    const server = await serve(cut(100));
    expect(await failure(server, {}, { retries: 2 })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the connection broke (UND_ERR_SOCKET), 3 times in a row; 300 bytes of 1.00 kB are kept
        fix: run the same command later: it continues from there"
    `);
    expect((await readFile(part)).equals(CONTENT.subarray(0, 300))).toBe(true);
  });

  test('connections that break after much has come are no failures', async () => {
    const large = Buffer.alloc(5 * 2 ** 20, 1);
    const server = await serve(cut(2 ** 20, 'close', large));
    expect((await tryDownload(server, {}, { retries: 1 })).result.sha256).toBe(sha256(large));
    expect(server.requests).toHaveLength(5);
  });
});

describe('servers that refuse', () => {
  test.each([
    [401, 'SERVER/model: the server refuses to send it (401 Unauthorized)\n  fix: ADVICE ON REFUSAL'],
    [403, 'SERVER/model: the server refuses to send it (403 Forbidden)\n  fix: ADVICE ON REFUSAL'],
    [404, 'SERVER/model: the server has no such file (404 Not Found)\n  fix: ADVICE ON ABSENCE'],
    [410, 'SERVER/model: the server has no such file (410 Gone)\n  fix: ADVICE ON ABSENCE'],
    [418, "SERVER/model: the server cannot send it (418 I'm a Teapot)\n  fix: ADVICE ON ABSENCE"],
  ])('with %i', async (code, message) => {
    const server = await serve(status(code));
    expect(await failure(server)).toBe(`DownloadError: ${message}`);
    expect(server.requests).toHaveLength(1);
    expect((await readdir(folder)).filter((name) => part.includes(name.slice(0, 36)))).toEqual([]);
  });

  test('keep what has arrived before', async () => {
    const server = await serve(cut(300), status(404));
    await failure(server);
    expect((await readFile(part)).length).toBe(300);
  });

  test('with a web page', async () => {
    const server = await serve(status(200, { 'content-type': 'text/html; charset=utf-8' }, '<html>'));
    expect(await failure(server)).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: answers with a web page in place of the file
        fix: open the address in a browser: the network may ask for a login"
    `);
  });
});

describe('redirects', () => {
  test('are followed, with the range and without the login', async () => {
    const cdn = await serve(cut(500), file(CONTENT));
    const hub = await serve(
      redirect(`${cdn.origin}/blob?signature=secret`, { 'x-linked-etag': `"${HASH}"` }),
    );
    const { result } = await tryDownload(hub, { headers: { authorization: 'Bearer token' } });
    expect(result).toEqual({ bytes: 1000, sha256: HASH, announcedSha256: HASH });
    expect(hub.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer token',
      'Bearer token',
    ]);
    expect(cdn.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
    expect(rangesOf(cdn)).toEqual([undefined, 'bytes=500-']);
  });

  test('within the server keep the login', async () => {
    const server = await serve(redirect('/elsewhere'), file(CONTENT));
    await tryDownload(server, { headers: { authorization: 'Bearer token' } });
    expect(server.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ['/model', 'Bearer token'],
      ['/elsewhere', 'Bearer token'],
    ]);
  });

  test('without end', async () => {
    expect(await failure(await serve(redirect('/model?again=1')))).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: redirects more than 10 times, at last to SERVER/model
        fix: ADVICE ON ABSENCE"
    `);
  });

  test.each(['ftp://example.org/model', 'http://['])('to "%s"', async (location) => {
    expect(await failure(await serve(redirect(location)))).toBe(
      `DownloadError: SERVER/model: redirects to "${location}", which is no safe address\n  fix: give another server with --mirror`,
    );
  });
});

describe('lies about the length', () => {
  const headers = (length: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;

  test('a server that has more than the published file', async () => {
    expect(await failure(await serve(file(CONTENT)), { bytes: 999 })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server has a file of another size
        received  1000 bytes
        expected  999 bytes
        fix: ADVICE ON ANOTHER FILE"
    `);
    expect(existsSync(part)).toBe(false);
  });

  test('a server that says less than it sends', async () => {
    const server = await serve(raw(headers(900), CONTENT));
    expect(await failure(server, { sha256: HASH })).toMatch(/what came is not the published file/);
    expect(await failure(server, { bytes: 1000 })).toMatch(/a file of another size/);
  });

  test('a server that says more than it sends', async () => {
    const server = await serve(raw(headers(1100), CONTENT));
    expect(await failure(server, {}, { retries: 0 })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the connection broke (UND_ERR_SOCKET); nothing has arrived
        fix: try again later"
    `);
  });

  test('a rest that is longer than the file', async () => {
    const rest: Answer = raw(
      'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 300-999/1000\r\nContent-Length: 800\r\n\r\n',
      Buffer.alloc(800),
    );
    const server = await serve(cut(300), rest);
    expect(await failure(server)).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server sends more bytes than it says
        received  more than 1000
        expected  1000
        fix: ADVICE ON ANOTHER FILE"
    `);
    expect(existsSync(part)).toBe(false);
  });

  test('a server that says nothing', async () => {
    const silent = raw('HTTP/1.1 200 OK\r\n\r\n', CONTENT);
    expect(await failure(await serve(silent))).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server does not give the length of the file, so a complete download cannot be recognised
        fix: give another server with --mirror"
    `);
    expect((await tryDownload(await serve(silent), { sha256: HASH })).result.bytes).toBe(1000);
    await rm(part);
    const cut = raw('HTTP/1.1 200 OK\r\n\r\n', CONTENT.subarray(0, 999));
    expect(await failure(await serve(cut), { bytes: 1000 }, { retries: 0 })).toMatchInlineSnapshot(`
      "DownloadError: SERVER2/model: the connection ended after 999 of 1000 bytes; 999 bytes of 1.00 kB are kept
        fix: run the same command later: it continues from there"
    `);
  });
});

describe('another file', () => {
  const OTHER = HASH.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));

  test('is removed', async () => {
    expect(await failure(await serve(file(CONTENT)), { sha256: OTHER })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: what came is not the published file
        received  8904ff7ad80f2f67e9d66239879a9b351be7b5c0142cc87447b6b2042ebdec45
        expected  0904ff7ad80f2f67e9d66239879a9b351be7b5c0142cc87447b6b2042ebdec45
        fix: ADVICE ON ANOTHER FILE"
    `);
    expect((await readdir(folder)).filter((name) => part.includes(name.slice(0, 36)))).toEqual([]);
  });

  test('than the server itself has announced', async () => {
    const server = await serve(file(CONTENT, { headers: { 'x-linked-etag': `"${OTHER}"` } }));
    expect(await failure(server)).toMatch(/what came is not the published file/);
  });

  test('is not even downloaded when the server announces it', async () => {
    const server = await serve(file(CONTENT, { headers: { 'x-linked-etag': `"${HASH}"` } }));
    expect(await failure(server, { sha256: OTHER })).toMatchInlineSnapshot(`
      "DownloadError: SERVER/model: the server has another file
        received  8904ff7ad80f2f67e9d66239879a9b351be7b5c0142cc87447b6b2042ebdec45
        expected  0904ff7ad80f2f67e9d66239879a9b351be7b5c0142cc87447b6b2042ebdec45
        fix: ADVICE ON ANOTHER FILE"
    `);
    expect(existsSync(part)).toBe(false);
  });

  test('from a part that was damaged', async () => {
    const server = await serve(cut(400), file(CONTENT));
    await failure(server, { sha256: HASH }, { retries: 0 });
    await writeFile(part, Buffer.alloc(400));
    expect(await failure(server, { sha256: HASH })).toMatch(/what came is not the published file/);
    expect((await tryDownload(server, { sha256: HASH })).result.sha256).toBe(HASH);
  });
});

describe('servers that cannot be reached', () => {
  const closed = async () => {
    const server = await startFileServer(status(200));
    await server.close();
    return server;
  };
  const messageOf = async () =>
    (await failure(await closed())).replaceAll(/\d+\.\d+\.\d+\.\d+:\d+/g, 'ADDRESS');

  test('fail at once', async () => {
    vi.stubEnv('HTTPS_PROXY', undefined);
    vi.stubEnv('https_proxy', undefined);
    expect(await messageOf()).toMatchInlineSnapshot(`
      "DownloadError: http://ADDRESS: cannot be reached (connect ECONNREFUSED ADDRESS)
        fix: check the network, or name a server that can be reached with --mirror"
    `);
  });

  test('though there is a proxy', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://proxy.example');
    vi.stubEnv('NODE_USE_ENV_PROXY', undefined);
    expect(await messageOf()).toMatchInlineSnapshot(`
      "DownloadError: http://ADDRESS: cannot be reached (connect ECONNREFUSED ADDRESS)
        fix: set NODE_USE_ENV_PROXY=1, with which Node 22.21, 24 and newer use HTTPS_PROXY"
    `);
  });

  test('after they were reached are tried again', async () => {
    const hub = await serve(redirect(`${(await closed()).origin}/blob`), file(CONTENT));
    expect(await failure(hub)).toMatch(/cannot be reached/);
    await rm(part, { force: true });
    const first = await serve(cut(300), redirect(`${(await closed()).origin}/blob`), file(CONTENT));
    expect((await tryDownload(first)).result.sha256).toBe(HASH);
  });
});

describe('stopping', () => {
  test('leaves a part that is continued', async () => {
    const server = await serve(cut(300, 'stall'), file(CONTENT));
    const controller = new AbortController();
    const notices: string[] = [];
    const stopped = tryDownload(
      server,
      {},
      {
        signal: controller.signal,
        onNotice: (notice) => notices.push(notice),
        onProgress: ({ bytes }) => bytes === 300 && controller.abort(new Error('stopped')),
      },
    );
    await expect(stopped).rejects.toThrow('stopped');
    expect(notices).toEqual(['300 bytes of 1.00 kB are kept: the same command goes on from there']);
    expect((await tryDownload(server)).result.sha256).toBe(HASH);
    expect(rangesOf(server)).toEqual([undefined, 'bytes=300-']);
  });

  test('does not wait for the next try', async () => {
    const controller = new AbortController();
    const server = await serve(status(503));
    const onNotice = () => controller.abort(new Error('stopped'));
    const options = { signal: controller.signal, retryDelayMs: 60_000, onNotice };
    await expect(tryDownload(server, {}, options)).rejects.toThrow('stopped');
  });
});
