/** @file A page in Debian's Chromium: built as a user builds it, served from this process, and asked for its report. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'vite';
import { REPOSITORY } from './documents.ts';

const EXECUTABLE = 'chromium';

/** @returns why no page can be opened; undefined where one can */
export async function chromiumObstacle(): Promise<string | undefined> {
  const version = promisify(execFile)(EXECUTABLE, ['--version']);
  return version.then(
    () => undefined,
    () => 'Debian’s chromium is not installed',
  );
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** What makes a page cross-origin isolated, so that WebAssembly may have threads. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Bundles a page with Vite, as it is set up by default but for the places of our own entries. */
export async function buildPage(folder: string, outDir: string): Promise<void> {
  await build({
    root: folder,
    configFile: false,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true, target: 'esnext' },
    worker: { format: 'es' },
    resolve: {
      alias: [
        { find: /^udit\/web$/, replacement: join(REPOSITORY, 'src/web/index.ts') },
        { find: /^udit$/, replacement: join(REPOSITORY, 'src/index.ts') },
      ],
    },
  });
}

export interface VisitOptions {
  /** The built page. */
  readonly folder: string;
  /** Further files by their path, such as `/model.safetensors`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What the page finds as JSON behind `#`. */
  readonly hash: unknown;
  readonly isIsolated: boolean;
}

/** Opens a page and returns the JSON that it posts to `/report`. */
export async function visitPage<Report>({ folder, files, hash, isIsolated }: VisitOptions): Promise<Report> {
  const { promise: report, resolve, reject } = withResolvers<Report>();
  const server = createServer(async (request, response) => {
    const path = new URL(request.url!, 'http://page').pathname;
    if (path === '/report') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      response.end();
      resolve(JSON.parse(Buffer.concat(chunks).toString()));
      return;
    }
    const name = path === '/' ? '/index.html' : path;
    const body = files.get(name) ?? (await readFile(join(folder, name)).catch(() => undefined));
    const type = TYPES[extname(name)] ?? 'application/octet-stream';
    response.writeHead(body === undefined ? 404 : 200, {
      'Content-Type': type,
      ...(isIsolated ? ISOLATION : {}),
    });
    response.end(body);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  const profile = await mkdtemp(join(tmpdir(), 'udit-chromium-'));
  const address = `http://127.0.0.1:${port}/#${encodeURIComponent(JSON.stringify(hash))}`;
  const browser = spawn(EXECUTABLE, [
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    ...[`--user-data-dir=${profile}`, address],
  ]);
  browser.on('exit', (code) => reject(new Error(`chromium ended with code ${code} before it reported`)));
  try {
    return await report;
  } finally {
    const ended = new Promise((done) => browser.once('exit', done));
    browser.kill('SIGKILL');
    await ended;
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** `Promise.withResolvers` of Node 22. */
function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
