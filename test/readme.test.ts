/** @file What the documents show works: programs run and print what is said, commands are known, links lead somewhere. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { randomKey } from '../src/core/random.ts';
import { serialiseSafetensors } from '../src/formats/safetensors.ts';
import { TAESD_PRESETS } from '../src/networks/autoencoders/presets.ts';
import { Taesd } from '../src/networks/autoencoders/taesd.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { commandProblem } from './support/command-check.ts';
import { docstringExamples } from './support/docstrings.ts';
import {
  documentPaths,
  REPOSITORY,
  type ShownProgram,
  shownCommands,
  shownPrograms,
} from './support/documents.ts';
import { createProgram, exampleFiles } from './support/examples-project.ts';
import { type FileServer, file as served, startFileServer } from './support/file-server.ts';
import { runProgram } from './support/shown-program.ts';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';
import { writePhotos } from './support/tiny-photos.ts';

/** A training of seconds in place of one of hours, and a tiny model; each text must occur in a program. */
const TINY_SETTINGS: readonly (readonly [shown: string, tiny: string])[] = [
  ["openModel('runs/photos')", "openModel('weights/u-dit-xs-emoji.safetensors')"],
  ['openModel(bundledModel)', "openModel('weights/u-dit-xs-emoji.safetensors')"],
  [
    "{ data: { path: 'photos' }, training: { steps: 2000 } }",
    "{ model: { preset: 'DiT-S/2', width: 8, heads: 2, depth: 1 }, data: { path: 'photos', imageSize: 16 }, training: { steps: 2, batchSize: 4 } }",
  ],
];

/** The program as it is run here. */
const made = (code: string): string =>
  TINY_SETTINGS.reduce((text, [shown, tiny]) => text.replace(shown, tiny), code);

const programs = shownPrograms();
const examples = docstringExamples();

/** A folder with what readers have: the bundled model and some photos. */
let folder: string;
/** Has a small autoencoder where published weights are. */
let mirror: FileServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit documents '));
  await mkdir(join(folder, 'weights'));
  const card = tinyDiTCard({ classNames: ['Objects', 'Symbols', 'Flags'] });
  await writeTinyCheckpoint(join(folder, 'weights/u-dit-xs-emoji.safetensors'), card);
  await writePhotos(join(folder, 'photos'));
  const taesd = new Taesd({ ...TAESD_PRESETS.TAESD!, width: 4 });
  const weights = initialise(taesd, taesd.initRule, randomKey(0));
  mirror = await startFileServer(served(Buffer.concat([...serialiseSafetensors(weights, {})])));
  vi.stubEnv('UDIT_MIRROR', mirror.origin);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await mirror.close();
  await rm(folder, { recursive: true });
});

describe('programs', () => {
  test('there are some', () => {
    expect(programs.length).toBeGreaterThan(5);
  });

  test('compile, and so do the examples', () => {
    expect(typeErrors([...programs, ...examples])).toEqual([]);
  });

  test('run, one after another, and print what is said', async () => {
    const all = [...programs, ...examples];
    const printed = await printedBy(all);
    expect(all.map((program, i) => ({ ...program, output: printed[i] }))).toEqual(
      all.map((program) => ({ ...program, output: program.output ?? expect.any(String) })),
    );
  });

  test('of docstrings stand where people start', () => {
    expect(examples.map(({ document }) => document).sort()).toMatchInlineSnapshot(`
      [
        "udit/evaluate:ClassSums",
        "udit/evaluate:FeatureMoments",
        "udit/evaluate:frechetDistance",
        "udit/export:exportOnnx",
        "udit/graph:compileInference",
        "udit/graph:compileTraining",
        "udit/graph:evaluate",
        "udit/graph:gradients",
        "udit/nn:traceNetwork",
        "udit/node:decodeRgb",
        "udit/node:fetchWeights",
        "udit/node:openModel",
        "udit/node:writeOnnxExport",
        "udit/node:writeSheet",
        "udit/train:trainInFolder",
        "udit:createPipeline",
        "udit:createSampler",
        "udit:drawInto",
        "udit:logLikelihood",
        "udit:openModel",
      ]
    `);
  });

  test('of training are made small', () => {
    const all = [...programs, ...examples].map(({ code }) => code).join('\n');
    for (const [shown] of TINY_SETTINGS) expect(all).toContain(shown);
  });
});

/** Runs them in one process, which names the file of the one that fails. @returns what each prints */
async function printedBy(all: readonly ShownProgram[]): Promise<string[]> {
  const mark = '--- the end of a program';
  const files = all.map(({ document, line }) => `${document.replaceAll(/\W/g, '-')}-${line}.mts`);
  for (const [i, { code }] of all.entries()) await writeFile(join(folder, files[i]!), made(code));
  const main = join(folder, 'all.mts');
  await writeFile(
    main,
    files.map((file) => `await import('./${file}');\nconsole.log('${mark}');`).join('\n'),
  );
  const printed = await runProgram(main, [], { cwd: folder });
  return printed.split(`${mark}\n`).slice(0, -1);
}

/** The examples and all blocks in one compilation, the blocks as modules beside the examples. */
function typeErrors(blocks: readonly ShownProgram[]): string[] {
  const added = new Map(
    blocks.map(({ document, line, code }) => [
      join(REPOSITORY, `examples/${document.replaceAll('/', '-')}:${line}.ts`),
      // A block without imports is a module nevertheless: its names are its own.
      `${code}\nexport {};\n`,
    ]),
  );
  const roots = [...exampleFiles, ...added.keys()];
  const program = createProgram(roots, {}, added);
  return roots
    .map((path) => program.getSourceFile(path))
    .flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ])
    .map((diagnostic) =>
      ts.formatDiagnostic(diagnostic, {
        getCurrentDirectory: () => REPOSITORY,
        getCanonicalFileName: (path) => path,
        getNewLine: () => '\n',
      }),
    );
}

describe('command lines', () => {
  test.each(shownCommands())('$document: $command', ({ command }) => {
    expect(commandProblem(command)).toBeUndefined();
  });

  test.each([
    ['udit paint', 'udit has no command paint'],
    ['npx udit train --image-sise 32', 'udit train does not know --image-sise'],
    ['udit sample a b', 'udit sample takes 1 arguments, not 2'],
    ['npm run paint', 'package.json has no script paint'],
    ['npm start --minutes 2', 'npm takes these arguments for its own: put -- before them'],
    ['npm start -- --hours 2', 'udit start does not know --hours'],
    ['npm run parity -- test/fixtures --jsn', 'tools/parity/main.ts does not know --jsn'],
    ['npx tsx examples/absent.ts', 'there is no file examples/absent.ts'],
    ['npx paint', 'there is no program paint'],
  ])('%s would fail', (command, problem) => {
    expect(commandProblem(command)).toBe(problem);
  });

  test('a value that a flag does not take would fail', () => {
    expect(commandProblem('udit sample --sampler magic')).toMatch(/Allowed choices are ddpm/);
  });
});

describe.each(documentPaths())('%s', (document) => {
  const text = readFileSync(join(REPOSITORY, document), 'utf8').replaceAll(/\s+/g, ' ');

  test('has links that lead to files', () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target!);
    const missing = targets.filter((target) => !existsSync(join(REPOSITORY, dirname(document), target)));
    expect(missing).toEqual([]);
  });

  test('names files that exist', () => {
    const paths = [...text.matchAll(/`((?:src|test|tools|bench|examples)\/[\w./-]*\w)`/g)].map(
      ([, path]) => path!,
    );
    expect(paths.filter((path) => !existsSync(join(REPOSITORY, path)))).toEqual([]);
  });

  test('says of each name the file it is in', () => {
    const places = [...text.matchAll(/`([\w.]+)`,? \(`(src\/[\w/.-]+\.ts)`/g)];
    const misplaced = places.filter(([, name, path]) => {
      const source = readFileSync(join(REPOSITORY, path!), 'utf8');
      return !name!.split('.').every((part) => new RegExp(`\\b${part}\\b`).test(source));
    });
    expect(misplaced.map(([place]) => place)).toEqual([]);
  });
});

test('each row of the formats names a test that shows it', () => {
  const lines = readFileSync(join(REPOSITORY, 'docs/guides/formats.md'), 'utf8').split('\n');
  const rows = lines.filter((line, i) => /^\| (?!---)/.test(line) && !lines[i + 1]?.startsWith('| ---'));
  expect(rows.length).toBeGreaterThan(30);
  const unshown = rows.filter((row) => {
    const [, path, title] = /`((?:src|test)\/[\w/.-]+\.test\.ts)`: ([^|]+) \|$/.exec(row) ?? [];
    if (path === undefined) return true;
    const source = readFileSync(join(REPOSITORY, path), 'utf8');
    return !new RegExp(`['"][^'"\n]*${title!.replaceAll(/[.()]/g, '\\$&')}`).test(source);
  });
  expect(unshown).toEqual([]);
});
