/**
 * @file Killed commands leave nothing that the next one stumbles over. A run that is killed again and again goes on each
 * time, and ends with the bytes of one that was left alone. The suite kills a few times;
 * `UDIT_KILLS=20 npx vitest run test/kill.test.ts` does so more often.
 */
import { mkdtemp, readdir, readFile, rm, watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fold, randomIntegers, randomKey } from '../src/core/random.ts';
import { listCheckpoints } from '../src/models/run-checkpoints-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { spawnUdit } from './support/spawn-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { TINY_TRAINING_FLAGS } from './support/tiny-training.ts';

const KILLS = Number(process.env.UDIT_KILLS ?? 5);
/** A killed process has changed its folder of checkpoints no more often: files made, written, renamed and removed. */
const MOST_CHANGES = 60;

let root: string;
let environment: NodeJS.ProcessEnv;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit kill '));
  environment = { ...process.env, UDIT_CACHE: join(root, 'cache') };
  await writePictureFolder(join(root, 'pictures'), { classes: ['cat', 'dog'], perClass: 8 });
});
afterAll(() => rm(root, { recursive: true }));

/** Trains in a process of its own, writing as much and as often as it can. */
function train(name: string, ...flags: readonly string[]) {
  const every = ['--ckpt-every', '1', '--log-every', '1', '--evaluate-every', '7', '--sample-every', '20'];
  const place = ['--data-path', join(root, 'pictures'), '--results-dir', root, '--name', name];
  const args = ['train', ...place, ...TINY_TRAINING_FLAGS, '--steps', '100000', ...every, ...flags];
  return spawnUdit(args, environment);
}

/** Settles at the `count`-th change in a folder. */
async function changesIn(folder: string, count: number): Promise<void> {
  let seen = 0;
  for await (const _ of watch(folder)) {
    if (++seen === count) return;
  }
}

async function latestStep(name: string): Promise<number> {
  return (await listCheckpoints(join(root, name, 'checkpoints'))).at(-1)?.step ?? 0;
}

test(`${KILLS} kills at any moment leave a run that goes on`, {
  timeout: KILLS * 20_000 + 60_000,
}, async () => {
  for (let kill = 1; kill <= KILLS; kill++) {
    const before = await latestStep('killed');
    const child = train('killed');
    // The first process is killed while it starts, when a run has no checkpoint yet; the others at work.
    await child.hasPrinted(
      kill === 1
        ? /held-out loss/
        : before === 0
          ? /checkpoint/
          : new RegExp(`continuing at step ${before} `),
    );
    if (kill > 1) {
      const [count] = randomIntegers(fold(randomKey(KILLS), 'kill', kill), 1, MOST_CHANGES);
      await Promise.race([changesIn(join(root, 'killed', 'checkpoints'), count! + 1), child.ended]);
    }
    child.kill('SIGKILL');
    expect(await child.ended, child.printed()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await latestStep('killed')).toBeGreaterThanOrEqual(before);
  }

  const end = (await latestStep('killed')) + 3;
  for (const name of ['killed', 'undisturbed']) {
    const child = train(name, '--stop-after', String(end));
    expect(await child.ended, child.printed()).toEqual({ code: 0, signal: null });
  }
  const [killed, undisturbed] = await Promise.all(
    ['killed', 'undisturbed'].map(async (name) => {
      const latest = (await listCheckpoints(join(root, name, 'checkpoints'))).at(-1)!;
      expect(latest.step).toBe(end);
      return readFile(latest.path);
    }),
  );
  expect(killed!.equals(undisturbed!)).toBe(true);

  const steps = (await readStats(join(root, 'killed', 'stats.jsonl')))
    .filter((record) => 'loss' in record)
    .map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: end }, (_, i) => i + 1));
  const left = await readdir(join(root, 'killed'), { recursive: true });
  expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('an export into the folder of a run, killed while it writes, is cleared away by the next training', async () => {
  const run = join(root, 'exported');
  const begun = train('exported', '--stop-after', '1');
  expect(await begun.ended, begun.printed()).toEqual({ code: 0, signal: null });

  // The first file that is made safe on the disk is one of the export; the process ends there.
  const preload = `data:text/javascript,${encodeURIComponent(`
    import { open } from 'node:fs/promises';
    const probe = await open(process.execPath);
    Object.getPrototypeOf(probe).sync = async () => process.kill(process.pid, 'SIGKILL');
    await probe.close();`)}`;
  const args = ['export', run, '--what', 'denoiser', '--out', join(run, 'model.onnx')];
  const killed = spawnUdit(args, { ...environment, NODE_OPTIONS: `--import=${preload}` });
  expect(await killed.ended, killed.printed()).toEqual({ code: null, signal: 'SIGKILL' });
  const temporary = (await readdir(run)).find((name) => name.endsWith('.tmp'));
  expect(temporary).toMatch(/^\.model\.onnx\./);
  expect(await readdir(join(run, temporary!))).toEqual(['model.onnx']);

  const next = train('exported', '--stop-after', '2');
  expect(await next.ended, next.printed()).toEqual({ code: 0, signal: null });
  expect(await readdir(run)).not.toContain(temporary);
});

test('a killed encoding goes on, and ends with the bytes of one that was left alone', async () => {
  const autoencoder = join(root, 'tiny-kl.safetensors');
  await writeModel(autoencoder, tinyAutoencoder());
  const encode = (name: string) => [
    ...['encode', join(root, 'pictures'), '--out', join(root, name), '--autoencoder', autoencoder],
    ...['--image-size', '16', '--threads', '1', '--shard-size', '3', '--layout', 'repa'],
  ];
  // What is made safe on the disk after the first shard: its folder, then the second shard. The process ends there.
  const preload = `data:text/javascript,${encodeURIComponent(`
    import { existsSync } from 'node:fs';
    import { open } from 'node:fs/promises';
    const probe = await open(process.execPath);
    const handle = Object.getPrototypeOf(probe);
    const sync = handle.sync;
    let syncs = 0;
    handle.sync = async function () {
      if (existsSync(${JSON.stringify(join(root, 'a', 'shard-00000.safetensors'))}) && ++syncs === 2)
        process.kill(process.pid, 'SIGKILL');
      return sync.call(this);
    };
    await probe.close();`)}`;
  const killed = spawnUdit(encode('a'), { ...environment, NODE_OPTIONS: `--import=${preload}` });
  expect(await killed.ended, killed.printed()).toEqual({ code: null, signal: 'SIGKILL' });
  const left = (await readdir(join(root, 'a'))).sort();
  expect(left).toContain('shard-00000.safetensors');
  expect(left.filter((name) => /^\.shard-00001\.safetensors\..*\.tmp$/.test(name))).toHaveLength(1);

  const runs = await Promise.all(['a', 'b'].map((name) => runUdit(encode(name), root)));
  expect(runs[0]!.out).toContain('before      3 of them');
  for (const suffix of ['', '-repa']) {
    const [again, undisturbed] = await Promise.all(
      ['a', 'b'].map(async (name) => contentOf(join(root, `${name}${suffix}`))),
    );
    expect(again!.size).toBeGreaterThan(6);
    expect(again).toEqual(undisturbed);
  }
});

/** Bytes of all files of a folder, by name. */
async function contentOf(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return new Map(
    await Promise.all(
      files.sort().map(async (path) => [path.slice(folder.length), await readFile(path)] as const),
    ),
  );
}
