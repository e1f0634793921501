/** @file A page that draws in a worker, bundled by Vite and opened in Chromium; left out where there is none. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { wasmBackend } from '../src/engine/runtime/wasm-web.ts';
import { openModel } from '../src/models/open-bytes.ts';
import { createSampler } from '../src/tasks/sampling/sample.ts';
import type { PageReport } from './browser/page.ts';
import { buildPage, chromiumObstacle, visitPage } from './support/chromium.ts';
import { expectClose } from './support/closeness.ts';
import { REPOSITORY } from './support/documents.ts';
import { tinyCard, tinyCheckpointBytes } from './support/tiny-checkpoint.ts';

const bytes = tinyCheckpointBytes(tinyCard());
const obstacle = await chromiumObstacle();
if (obstacle !== undefined) console.log(`Pages are not tested: ${obstacle}`);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-page-'));
  await buildPage(fileURLToPath(new URL('browser', import.meta.url)), join(folder, 'built'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Compressed, with autoencoders and feature networks. The files of ONNX Runtime are fetched beside them, one of two. */
const LARGEST_LIBRARY_BYTES = 105_000;

test('the library of a page stays small', async () => {
  const assets = join(folder, 'built', 'assets');
  const own = (await readdir(assets)).filter((name) => !/^(ort|wasm-web|webgpu-web)-/.test(name));
  const sizes = await Promise.all(
    own.map(async (name) => gzipSync(await readFile(join(assets, name))).length),
  );
  expect(own.length).toBeGreaterThan(1);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(LARGEST_LIBRARY_BYTES);
});

describe.skipIf(obstacle !== undefined)('in Chromium', () => {
  test.each([{ isIsolated: false }, { isIsolated: true }])(
    'draws, isolated: $isIsolated',
    async ({ isIsolated }) => {
      const report = await visitPage<PageReport>({
        folder: join(folder, 'built'),
        files: new Map([['/model.safetensors', bytes]]),
        hash: { steps: 2, threads: 2 },
        isIsolated,
      });
      const sampler = await createSampler(await openModel(bytes), { backend: wasmBackend, steps: 2 });
      const expected = await sampler.generate({ labels: [0, 1], seed: 3 });
      await sampler.release();
      expect(report).toMatchObject({ isIsolated, device: 'wasm', threads: isIsolated ? 1 : 0 });
      expectClose(Float32Array.from(report.values), expected.data, { relative: 1e-5 });
      expect(report.turns).toBeGreaterThan(2);
    },
  );

  test('the program of the README shows its pictures', async () => {
    const readme = await readFile(join(REPOSITORY, 'README.md'), 'utf8');
    const blocks = [...readme.matchAll(/```js\n\/\/ (\w+\.js)\n(.*?)```/gs)];
    expect(blocks.map(([, name]) => name)).toEqual(['sampling.js', 'page.js']);
    const source = join(folder, 'readme');
    await mkdir(source);
    for (const [, name, code] of blocks) await writeFile(join(source, name!), code!);
    await writeFile(join(source, 'report.js'), CANVAS_REPORT);
    const scripts = ['report.js', 'page.js'].map((name) => `<script type="module" src="./${name}"></script>`);
    await writeFile(join(source, 'index.html'), `<!doctype html><body>${scripts.join('')}</body>`);
    await buildPage(source, join(folder, 'readme-built'));
    const classNames = ['Symbols', 'Flags', 'Objects'];
    const report = await visitPage<{ readonly sizes: readonly string[]; readonly colours: number }>({
      folder: join(folder, 'readme-built'),
      files: new Map([['/u-dit-xs-emoji.safetensors', tinyCheckpointBytes(tinyCard({ classNames }))]]),
      hash: {},
      isIsolated: false,
    });
    expect(report.sizes).toEqual(['8x8', '8x8']);
    expect(report.colours).toBeGreaterThan(10);
  });
});

/** Reports the second canvas that a page shows. */
const CANVAS_REPORT = `
new MutationObserver(async (_, observer) => {
  const canvases = [...document.querySelectorAll('canvas')];
  if (canvases.length < 2) return;
  observer.disconnect();
  const { width, height } = canvases[1];
  const { data } = canvases[1].getContext('2d').getImageData(0, 0, width, height);
  const sizes = canvases.map((canvas) => canvas.width + 'x' + canvas.height);
  const colours = new Set(new Uint32Array(data.buffer)).size;
  await fetch('/report', { method: 'POST', body: JSON.stringify({ sizes, colours }) });
}).observe(document.body, { childList: true });
`;
