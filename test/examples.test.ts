/** @file The programs of examples/ do what they say, on models and data of tiny size. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REPOSITORY } from './support/documents.ts';
import { runProgram } from './support/shown-program.ts';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';
import { writePhotos } from './support/tiny-photos.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit examples '));
});
afterAll(() => rm(folder, { recursive: true }));

const example = (name: string, ...args: string[]) =>
  runProgram(join(REPOSITORY, 'examples', name), args, { cwd: folder });

test('sample.ts draws a row per class', async () => {
  await writeTinyCheckpoint(join(folder, 'tiny.safetensors'), tinyDiTCard());
  expect(await example('sample.ts', 'tiny.safetensors', 'sheet.png')).toMatchInlineSnapshot(`
    "tiny DiT after 20 steps, 3 classes, ema weights
    Red Fox: done
    Owl: done
    Newt: done
    see sheet.png
    "
  `);
  const { width, height } = await sharp(join(folder, 'sheet.png')).metadata();
  expect(width! / height!).toBeGreaterThan(1.5); // six columns and labels, three rows
});

test('train-on-folder.ts trains in a run folder, and continues there', async () => {
  await writePhotos(join(folder, 'photos'));
  const first = await example('train-on-folder.ts', 'photos', 'run', '1');
  expect(first).toMatch(/^\d+ parameters, 8 pictures\nstep 1 {2}loss \d\.\d{4} /);
  expect(existsSync(join(folder, 'run/checkpoints/step-0000001.safetensors'))).toBe(true);
  expect(await example('train-on-folder.ts', 'photos', 'run', '1')).toContain('continuing at step 1\n');
});

test('print-gradient.ts prints a gradient that a small step confirms', async () => {
  const printed = await example('print-gradient.ts');
  expect(printed).toContain('= geluGate{approximate="none"} d');
  const numbers = (name: string) =>
    JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, 'm').exec(printed)![1]!) as number[];
  const gradient = numbers('gradient');
  const weight = [0.1, 0.2, 0.3];
  expect(numbers('loss')[0]).toBeCloseTo(lossOf(weight), 5);
  weight.forEach((value, i) => {
    const step = 1e-4;
    const slope = (lossOf(weight.with(i, value + step)) - lossOf(weight.with(i, value - step))) / (2 * step);
    expect(gradient[i]).toBeCloseTo(slope, 4);
  });
});

test('own-sampler.ts draws a row per class', async () => {
  await writeTinyCheckpoint(join(folder, 'tiny.safetensors'), tinyDiTCard());
  expect(await example('own-sampler.ts', 'tiny.safetensors', 'ralston.png', '3')).toBe(
    '6 evaluations of the network: see ralston.png\n',
  );
  expect((await sharp(join(folder, 'ralston.png')).metadata()).height).toBeGreaterThan(3 * 96);
});

test('own-metric.ts compares generated pictures with those of a folder', async () => {
  await writePhotos(join(folder, 'photos'));
  await writeTinyCheckpoint(join(folder, 'tiny.safetensors'), tinyDiTCard());
  const printed = await example('own-metric.ts', 'photos', 'tiny.safetensors', '2');
  expect(printed).toMatch(/^kernel distance \d\.\d{4}e[+-]\d of 6 generated and 8 real pictures\n$/);
});

test('likelihood.ts gives bits per dimension of each picture', async () => {
  await writePhotos(join(folder, 'photos'));
  await writeTinyCheckpoint(join(folder, 'tiny.safetensors'), tinyDiTCard());
  const printed = await example('likelihood.ts', 'photos', 'tiny.safetensors', '2');
  expect(printed.match(/^(cats|dogs)\/\d\.png: \d+\.\d\d bits per dimension$/gm)).toHaveLength(8);
});

test('each example has at most 60 lines', async () => {
  const names = (await readdir(join(REPOSITORY, 'examples'))).filter((name) => name.endsWith('.ts'));
  for (const name of names) {
    const text = await readFile(join(REPOSITORY, 'examples', name), 'utf8');
    expect(text.trimEnd().split('\n').length, name).toBeLessThanOrEqual(60);
  }
});

/** The example's loss in plain numbers; GELU by its definition as an integral of the normal density. */
function lossOf(weight: readonly number[]): number {
  const rows = [
    { x: [1, 0, -1], target: 1 },
    { x: [0.5, 2, 1], target: 0 },
  ];
  const errors = rows.map(({ x, target }) => {
    const product = x.reduce((sum, value, i) => sum + value * weight[i]!, 0);
    return (product * normalDistribution(product) - target) ** 2;
  });
  return (errors[0]! + errors[1]!) / 2;
}

/** Φ(x) by Simpson's rule. */
function normalDistribution(x: number): number {
  const intervals = 200;
  const width = x / intervals;
  const density = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(x);
  for (let i = 1; i < intervals; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * width);
  return 0.5 + (sum * width) / 3;
}

test('own-network.ts trains a network that is in no table in a folder, continues there, and samples it', async () => {
  for (const [name, background] of Object.entries({ blue: '#0000ff', red: '#ff0000' })) {
    await mkdir(join(folder, 'colours', name), { recursive: true });
    for (const file of ['1.png', '2.png']) {
      const picture = sharp({ create: { width: 8, height: 8, channels: 3, background } });
      await picture.toFile(join(folder, 'colours', name, file));
    }
  }
  const run = ['own-network.ts', 'colours', 'own', 'own-network.png'] as const;
  expect(await example(...run)).toMatch(/^step 100: .*\.safetensors\n/);
  expect(await example(...run)).toContain('continuing at step 400\n');
  const sheet = sharp(join(folder, 'own-network.png'));
  const { width, height } = await sheet.metadata();
  // The last picture of each row, without its frame.
  const rows = [0.25, 0.75].map(async (row) => {
    const region = { left: width - 60, top: Math.round(row * height) - 20, width: 40, height: 40 };
    const { channels } = await sharp(await sheet.clone().extract(region).png().toBuffer()).stats();
    return channels.map(({ mean }) => mean);
  });
  const [first, second] = (await Promise.all(rows)) as [number[], number[]];
  expect(first[2]).toBeGreaterThan(2 * first[0]!); // blue
  expect(second[0]).toBeGreaterThan(2 * second[2]!); // red
});
