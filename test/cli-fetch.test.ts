/** @file `udit fetch` from the command line to the cache, with a server on this machine in place of the published ones. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runCommandLine } from '../src/cli/program.ts';
import { type Answer, type FileServer, file, startFileServer } from './support/file-server.ts';
import { recordingTerminal } from './support/recording-terminal.ts';
import { runUdit } from './support/run-udit.ts';
import { spawnUdit } from './support/spawn-udit.ts';

/** Large enough for a process to be stopped in the middle. */
const CONTENT = Buffer.alloc(8 * 2 ** 20, 'weights');
const HASH = createHash('sha256').update(CONTENT).digest('hex');

let root: string;
let cached: string;
let servers: FileServer[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit fetch '));
  cached = join(root, 'weights', 'U-DiT-S-400k.pt');
  servers = [];
  for (const name of ['UDIT_MIRROR', 'HF_ENDPOINT', 'HF_TOKEN']) vi.stubEnv(name, undefined);
  vi.stubEnv('UDIT_CACHE', root);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(servers.map((server) => server.close()));
  await rm(root, { recursive: true });
});

async function serve(...answers: readonly Answer[]): Promise<FileServer> {
  const server = await startFileServer(...answers);
  servers.push(server);
  return server;
}

async function udit(...args: readonly string[]) {
  const { code, out, err } = await runUdit(args, root);
  const known = (text: string) =>
    servers.reduce((rest, { origin }) => rest.replaceAll(origin, 'SERVER'), text).replaceAll(HASH, 'HASH');
  return { code, out: known(out), err: known(err) };
}

const fetchTiny = (server: FileServer, ...flags: readonly string[]) =>
  udit('fetch', 'u-dit-s-400k', '--accept-license', '--mirror', server.origin, ...flags);

describe('fetching', () => {
  test('shows the licence, then where the file is and what to do with it', async () => {
    const server = await serve(file(CONTENT));
    expect(await fetchTiny(server)).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "U-DiT-S-400k: U-DiT-S, ImageNet 256×256, 400k steps, FID 31.51 without guidance
      licence  Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0
               as stated at https://huggingface.co/yuchuantian/U-DiT
               the authors publish their code, unlike these weights, under CC BY-NC 4.0
      ",
        "out": "U-DiT-S-400k
      file     ROOT/weights/U-DiT-S-400k.pt
      size     8.39 MB
      sha256   HASH, trusted because none is published: later downloads have to have it too
      licence  Apache License 2.0
      next     give its name where a checkpoint is asked for; udit sample decodes its latents with sd-vae-ft-ema
      ",
      }
    `);
    expect((await readFile(cached)).equals(CONTENT)).toBe(true);
    expect(server.requests[0]!.url).toBe(
      '/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt',
    );
    expect(await udit('fetch', 'U-DiT-S-400k', '--offline')).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "U-DiT-S-400k was in the cache
      file     ROOT/weights/U-DiT-S-400k.pt
      size     8.39 MB
      sha256   HASH, trusted because none is published: later downloads have to have it too
      licence  Apache License 2.0
      next     give its name where a checkpoint is asked for; udit sample decodes its latents with sd-vae-ft-ema
      ",
      }
    `);
  });

  test('for scripts', async () => {
    const { code, out } = await fetchTiny(await serve(file(CONTENT)), '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchInlineSnapshot(`
      {
        "bytes": 8388608,
        "fetched": true,
        "hashSource": "first download",
        "kind": "denoiser",
        "licence": "Apache-2.0",
        "name": "U-DiT-S-400k",
        "path": "ROOT/weights/U-DiT-S-400k.pt",
        "sha256": "HASH",
        "url": "SERVER/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt",
      }
    `);
  });

  test('into another folder', async () => {
    const { out } = await fetchTiny(await serve(file(CONTENT)), '--cache-dir', join(root, 'other'));
    expect(out).toContain('file     ROOT/other/weights/U-DiT-S-400k.pt\n');
  });

  test('from where the environment says, with the token', async () => {
    const server = await serve(file(CONTENT));
    vi.stubEnv('HF_ENDPOINT', server.origin);
    vi.stubEnv('HF_TOKEN', 'secret');
    expect((await udit('fetch', 'U-DiT-S-400k', '--accept-license')).code).toBe(0);
    expect(server.requests[0]!.headers.authorization).toBe('Bearer secret');
  });

  test('gives up when asked to', async () => {
    const stalling = file(CONTENT, { cut: { after: 0, how: 'stall' } });
    const { code, err } = await fetchTiny(await serve(stalling), '--timeout', '0.2', '--retries', '0');
    expect(code).toBe(1);
    expect(err.slice(err.indexOf('DownloadError'))).toMatchInlineSnapshot(`
      "DownloadError: SERVER/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt: nothing came for 0.2 s; nothing has arrived
        fix: try again later
      "
    `);
  });
});

describe('the licence', () => {
  const answering = async (answer: string) => {
    const server = await serve(file(CONTENT));
    const asked: string[] = [];
    const ask = async (question: string) => {
      asked.push(question);
      return answer;
    };
    const terminal = { ...recordingTerminal(), ask };
    const args = ['fetch', 'DiT-XL-2-256x256', '--mirror', server.origin];
    return { code: await runCommandLine(args, terminal), asked, err: terminal.printed.err };
  };

  test('is asked about where somebody can answer', async () => {
    const { code, asked, err } = await answering('Yes ');
    expect({ code, asked }).toEqual({ code: 0, asked: ['Accept this licence? [y/N] '] });
    expect(err).toMatchInlineSnapshot(`
      "DiT-XL-2-256x256: DiT-XL/2, ImageNet 256×256, 7M steps, FID 2.27 at guidance 1.5
      licence  Creative Commons Attribution-NonCommercial 4.0 (non-commercial use only): https://creativecommons.org/licenses/by-nc/4.0/
               as stated at https://github.com/facebookresearch/DiT
      "
    `);
  });

  test.each(['', 'n', 'no', 'yesterday'])('is not accepted by "%s"', async (answer) => {
    const { code, err } = await answering(answer);
    expect(code).toBe(2);
    expect(err).toContain('ConfigError: DiT-XL-2-256x256: its licence has not been accepted');
  });

  test('has to be accepted on the command line elsewhere', async () => {
    expect(await udit('fetch', 'DiT-XL-2-256x256')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: DiT-XL-2-256x256: its licence has not been accepted: Creative Commons Attribution-NonCommercial 4.0 (non-commercial use only)
        text       https://creativecommons.org/licenses/by-nc/4.0/
        stated at  https://github.com/facebookresearch/DiT
        fix: read it, then run the command again with --accept-license
      ",
        "out": "",
      }
    `);
  });
});

describe('the list', () => {
  test('says what there is and what is here', async () => {
    await fetchTiny(await serve(file(CONTENT)));
    await writeFile(join(root, 'weights', 'U-DiT-B-1000k.pt.part'), Buffer.alloc(92_533_371));
    const { code, out } = await udit('fetch', '--list');
    expect(code).toBe(0);
    expect(`\n${out}`).toMatchInlineSnapshot(`
      "
      name                  size            licence       what it is
      U-DiT-S-400k       ~236 MB  here      Apache-2.0    U-DiT-S, ImageNet 256×256, 400k steps, FID 31.51 without guidance
      U-DiT-B-400k       ~925 MB            Apache-2.0    U-DiT-B, ImageNet 256×256, 400k steps, FID 16.64 without guidance
      U-DiT-B-1000k       925 MB  10% here  Apache-2.0    U-DiT-B, ImageNet 256×256, 1000k steps, FID 12.87 without guidance
      U-DiT-L-400k      ~3.67 GB            Apache-2.0    U-DiT-L, ImageNet 256×256, 400k steps, FID 10.08 without guidance
      U-DiT-L-1000k      3.67 GB            Apache-2.0    U-DiT-L, ImageNet 256×256, 1000k steps, FID 7.54 without guidance
      DiT-XL-2-256x256  ~2.70 GB            CC-BY-NC-4.0  DiT-XL/2, ImageNet 256×256, 7M steps, FID 2.27 at guidance 1.5
      DiT-XL-2-512x512  ~2.70 GB            CC-BY-NC-4.0  DiT-XL/2, ImageNet 512×512, 3M steps, FID 3.04 at guidance 1.5
      DiT-LLaMA-B-4     ~2.10 GB            Apache-2.0    DiT-LLaMA-B/4, ImageNet 256×256, 400k steps, FID 39.51 at guidance 1.5
      DiT-LLaMA-L-4      7.43 GB            Apache-2.0    DiT-LLaMA-L/4, ImageNet 256×256, 400k steps, FID 18.64 at guidance 1.5
      DiT-LLaMA-XL-4    ~10.8 GB            Apache-2.0    DiT-LLaMA-XL/4, ImageNet 256×256, 400k steps, FID 18.69 at guidance 1.5
      DiT-LLaMA-XL-2    ~10.8 GB            Apache-2.0    DiT-LLaMA-XL/2, ImageNet 256×256, 2400k steps, FID 2.42 at guidance 1.5
      sd-vae-ft-ema       335 MB            MIT           Stable Diffusion's autoencoder with the ft-ema decoder: latents to pictures and back
      sd-vae-ft-mse       335 MB            MIT           Stable Diffusion's autoencoder with the ft-mse decoder: latents to pictures and back
      TAESD             ~9.80 MB            MIT           tiny autoencoder for latents of Stable Diffusion: fast, and good enough for previews
      TAESDXL           ~9.80 MB            MIT           tiny autoencoder for latents of SDXL: fast, and good enough for previews
      TAESD3            ~9.90 MB            MIT           tiny autoencoder for latents of Stable Diffusion 3: fast, and good enough for previews
      TAEF1             ~9.90 MB            MIT           tiny autoencoder for latents of FLUX.1: fast, and good enough for previews
      TAEF2             ~5.40 MB            MIT           tiny autoencoder for latents of FLUX.2: fast, and good enough for previews
      fid-inception      95.6 MB            Apache-2.0    pytorch-fid's Inception v3: the features that FID compares
      DINOv2-S-14       ~88.0 MB            Apache-2.0    DINOv2 ViT-S/14 without registers: the features that FD-DINOv2 compares
      DINOv2-B-14        ~346 MB            Apache-2.0    DINOv2 ViT-B/14 without registers: the features that FD-DINOv2 compares
      DINOv2-L-14       ~1.22 GB            Apache-2.0    DINOv2 ViT-L/14 without registers: the features that FD-DINOv2 compares

      cache: ROOT/weights
      "
    `);
    expect((await udit('fetch')).out).toBe(out);
  });

  test('for scripts', async () => {
    await fetchTiny(await serve(file(CONTENT)));
    const list = JSON.parse((await udit('fetch', '--list', '--json')).out);
    expect(list[0]).toMatchInlineSnapshot(`
      {
        "about": "U-DiT-S, ImageNet 256×256, 400k steps, FID 31.51 without guidance",
        "bytes": 236000000,
        "bytesAreExact": false,
        "kind": "denoiser",
        "licence": {
          "id": "Apache-2.0",
          "name": "Apache License 2.0",
          "nonCommercial": false,
          "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
        "licenceNote": "the authors publish their code, unlike these weights, under CC BY-NC 4.0",
        "name": "U-DiT-S-400k",
        "page": "https://huggingface.co/yuchuantian/U-DiT",
        "part": null,
        "path": "ROOT/weights/U-DiT-S-400k.pt",
        "preset": "U-DiT-S",
        "sha256": "HASH",
        "url": "https://huggingface.co/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt",
        "use": "give its name where a checkpoint is asked for; udit sample decodes its latents with sd-vae-ft-ema",
      }
    `);
    expect(list[1]).toMatchObject({ path: null, part: null, licence: { nonCommercial: false } });
  });
});

describe('using what was fetched', () => {
  test('by its name', async () => {
    await fetchTiny(await serve(file(CONTENT)));
    const { code, err } = await udit('sample', 'U-DiT-S-400k');
    // What was served is no checkpoint; that it was tried is what counts here.
    expect(code).toBe(1);
    expect(err).toMatch(/^CheckpointError: ROOT\/weights\/U-DiT-S-400k\.pt: /);
  });

  test('before it is fetched', async () => {
    expect(await udit('sample', 'u-dit-s-400k')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "DownloadError: U-DiT-S-400k: these published weights are not in the cache, ROOT/weights
        fix: fetch them with: npx udit fetch U-DiT-S-400k (236 MB)
      ",
        "out": "",
      }
    `);
  });
});

describe('a process that ends in the middle', () => {
  /** Sends half of what is asked for, then no more. */
  const half = file(CONTENT, { cut: { after: CONTENT.length / 2, how: 'stall' } });
  const start = (server: FileServer) =>
    spawnUdit(['fetch', 'U-DiT-S-400k', '--accept-license', '--mirror', server.origin], {
      ...process.env,
      UDIT_CACHE: root,
    });
  const partBytes = () =>
    stat(`${cached}.part`).then(
      ({ size }) => size,
      () => 0,
    );

  test.each(['SIGKILL', 'SIGINT', 'SIGHUP'] as const)(
    'by %s leaves a part, and the next one goes on',
    async (signal) => {
      const server = await serve(half, file(CONTENT));
      const child = start(server);
      await expect.poll(partBytes, { timeout: 30_000 }).toBe(CONTENT.length / 2);
      child.kill(signal);
      const { code } = await child.ended;
      if (signal !== 'SIGKILL') {
        expect(code).toBe(signal === 'SIGINT' ? 130 : 129);
        expect(child.printed()).toContain(
          `4.19 MB of 8.39 MB are kept: the same command goes on from there\nstopped by ${signal === 'SIGINT' ? 'Ctrl-C' : signal}\n`,
        );
      }
      expect((await udit('fetch', '--list')).out).toMatch(/U-DiT-S-400k .* 50% here /);
      expect((await fetchTiny(server)).code).toBe(0);
      expect(server.requests.map(({ headers }) => headers.range)).toEqual([
        undefined,
        `bytes=${CONTENT.length / 2}-`,
      ]);
      expect((await readFile(cached)).equals(CONTENT)).toBe(true);
      expect((await readdir(join(root, 'weights'))).sort()).toEqual([
        'U-DiT-S-400k.pt',
        'U-DiT-S-400k.pt.sha256.json',
        'licence-Apache-2.0.json',
      ]);
    },
  );

  test('two processes fetch it once', async () => {
    const server = await serve(file(CONTENT));
    const both = [start(server), start(server)];
    expect(await Promise.all(both.map(({ ended }) => ended))).toMatchObject([{ code: 0 }, { code: 0 }]);
    expect(server.requests).toHaveLength(1);
    expect((await readFile(cached)).equals(CONTENT)).toBe(true);
  });
});

describe('wrong usage', () => {
  test('a name that nothing has', async () => {
    expect(await udit('fetch', 'U-DiT-XL')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: U-DiT-XL: there are no published weights of this name
        fix: did you mean U-DiT-S-400k? npx udit fetch --list shows all
      ",
        "out": "",
      }
    `);
  });

  test('a mirror that is none', async () => {
    const { code, err } = await udit('fetch', 'U-DiT-S-400k', '--accept-license', '--mirror', 'mirror');
    expect(code).toBe(2);
    expect(err).toContain('ConfigError: --mirror: "mirror" is no web address');
  });
});
