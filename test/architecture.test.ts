/** @file Each rule of .dependency-cruiser.cjs reports what it forbids, and nothing else, on a small folder made for it. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import { afterAll, beforeAll, expect, it } from 'vitest';

const config: IConfiguration = createRequire(import.meta.url)('../.dependency-cruiser.cjs');

const PACKAGES = ['onnxruntime-node', 'onnxruntime-web', 'sharp', '@twemoji/svg', 'fflate', 'chalk'];
const DEVELOPMENT_PACKAGES = ['vitest'];

/** A file and what it imports. */
type Import = readonly [file: string, imported: string];

const FORBIDDEN: readonly (readonly [rule: string, ...Import])[] = [
  ['layer-core', 'src/core/upwards.ts', '../graph/graph.ts'],
  ['layer-graph', 'src/graph/upwards.ts', '../onnx/lower.ts'],
  ['layer-interp', 'src/interp/sideways.ts', '../onnx/lower.ts'],
  ['layer-onnx', 'src/onnx/upwards.ts', '../runtime/session.ts'],
  ['layer-runtime', 'src/runtime/upwards.ts', '../models/dit.ts'],
  ['layer-nn', 'src/nn/upwards.ts', '../models/dit.ts'],
  ['layer-models', 'src/models/sideways.ts', '../diffusion/gaussian.ts'],
  ['layer-diffusion', 'src/diffusion/sideways.ts', '../models/dit.ts'],
  ['layer-optim', 'src/optim/sideways.ts', '../nn/module.ts'],
  ['layer-files', 'src/files/upwards.ts', '../checkpoint/view.ts'],
  ['layer-compile', 'src/compile/sideways.ts', '../models/dit.ts'],
  ['layer-checkpoint', 'src/checkpoint/sideways.ts', '../data/pixels.ts'],
  ['layer-data', 'src/data/sideways.ts', '../checkpoint/view.ts'],
  ['layer-hub', 'src/hub/sideways.ts', '../checkpoint/view.ts'],
  ['layer-metrics', 'src/metrics/sideways.ts', '../data/pixels.ts'],
  ['layer-plot', 'src/plot/sideways.ts', '../data/pixels.ts'],
  ['layer-saved-model', 'src/saved-model/upwards.ts', '../runtime/session.ts'],
  ['layer-inspect', 'src/inspect/sideways.ts', '../saved-model/file.ts'],
  ['layer-sampling', 'src/sampling/sideways.ts', '../train/loop.ts'],
  ['layer-spectrum', 'src/spectrum/upwards.ts', '../train/loop.ts'],
  ['layer-train', 'src/train/upwards.ts', '../cli/main.ts'],
  ['layer-export', 'src/export/sideways.ts', '../train/loop.ts'],
  ['layer-ablation', 'src/ablation/sideways.ts', '../bench/contest.ts'],
  ['layer-bench', 'src/bench/upwards.ts', '../cli/main.ts'],
  ['layer-web', 'src/web/upwards.ts', '../cli/main.ts'],
  ['layer-cli', 'src/cli/upwards.ts', '../index.ts'],
  ['layer-doors', 'src/doors/upwards.ts', '../index.ts'],
  ['layer-unknown', 'src/misc/anything.ts', '../core/shape.ts'],
  ['no-cycle', 'src/graph/one.ts', './other.ts'],
  ['no-node-in-portable-code', 'src/models/reader.ts', 'node:fs'],
  ['no-node-in-portable-code', 'src/core/reader.ts', 'fs/promises'],
  ['no-node-file-in-portable-code', 'src/data/reader.ts', './decode-node.ts'],
  ['no-node-package-in-portable-code', 'src/data/decoder.ts', 'sharp'],
  ['no-node-package-in-portable-code', 'src/data/artwork.ts', '@twemoji/svg'],
  ['no-node-package-in-portable-code', 'src/diffusion/colours.ts', 'chalk'],
  ['no-node-package-in-portable-code', 'src/runtime/both.ts', 'onnxruntime-node'],
  ['onnxruntime-in-runtime-only', 'src/train/direct.ts', 'onnxruntime-node'],
  ['onnxruntime-in-runtime-only', 'src/models/direct.ts', 'onnxruntime-web'],
  ['native-library-in-one-file', 'src/runtime/direct-node.ts', 'onnxruntime-node'],
  ['no-test-code-in-sources', 'src/cli/golden.ts', '../../test/support/closeness.ts'],
  ['no-test-code-in-sources', 'src/interp/borrowed.ts', './evaluate.test.ts'],
  ['no-development-package-in-sources', 'src/train/checked.ts', 'vitest'],
  ['no-unresolvable', 'src/train/lost.ts', './does-not-exist.ts'],
];

const ALLOWED: readonly Import[] = [
  ['src/models/dit.ts', '../nn/module.ts'],
  ['src/onnx/lower.ts', '../graph/graph.ts'],
  ['src/runtime/native-library-node.ts', 'onnxruntime-node'],
  ['src/runtime/session.ts', 'onnxruntime-web'],
  ['src/data/decode-node.ts', 'sharp'],
  ['src/checkpoint/view.ts', 'fflate'],
  ['src/checkpoint/file-node.ts', '../files/atomic-write-node.ts'],
  ['src/files/atomic-write-node.ts', 'node:fs'],
  ['src/train/loop.ts', 'node:fs'],
  ['src/ablation/cell.ts', '../train/loop.ts'],
  ['src/train/grids.ts', '../sampling/images.ts'],
  ['src/bench/contest.ts', '../train/loop.ts'],
  ['src/bench/contestant.ts', 'node:child_process'],
  ['src/cli/main.ts', '../train/loop.ts'],
  ['src/doors/node.ts', '../cli/main.ts'],
  ['src/saved-model/file.ts', '../models/dit.ts'],
  ['src/interp/evaluate.test.ts', '../onnx/lower.ts'],
  ['src/core/shape.test.ts', 'vitest'],
  ['test/parity.test.ts', '../src/train/loop.ts'],
];

/** Files that are imported above and import nothing. */
const LEAVES = [
  'src/core/shape.ts',
  'src/graph/graph.ts',
  'src/diffusion/gaussian.ts',
  'src/nn/module.ts',
  'src/data/pixels.ts',
  'src/sampling/images.ts',
  'src/index.ts',
  'test/support/closeness.ts',
];

let folder: string;
let broken: ReadonlyMap<string, readonly string[]>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-architecture-'));
  await writeManifest('', { dependencies: PACKAGES, devDependencies: DEVELOPMENT_PACKAGES });
  for (const name of [...PACKAGES, ...DEVELOPMENT_PACKAGES]) {
    await writeManifest(join('node_modules', name), {});
    await write(join('node_modules', name, 'index.js'), '');
  }
  for (const file of LEAVES) await write(file, 'export {};\n');
  await write('src/graph/other.ts', "import './one.ts';\n");
  for (const [file, imported] of ALLOWED) await write(file, `import '${imported}';\n`);
  for (const [, file, imported] of FORBIDDEN) await write(file, `import '${imported}';\n`);
  broken = await rulesBrokenBy(['src', 'test']);
});

afterAll(() => rm(folder, { recursive: true }));

it.each(FORBIDDEN)('%s reports that %s imports %s', (rule, file) => {
  expect(broken.get(file)).toContain(rule);
});

it.each(ALLOWED)('%s may import %s', (file) => {
  expect(broken.get(file)).toBeUndefined();
});

it('has a violation for every rule', () => {
  const tried = new Set(FORBIDDEN.map(([rule]) => rule));
  expect(config.forbidden!.map(({ name }) => name)).toEqual([...tried]);
});

it('catches an import of types alone', async () => {
  await write(
    'src/nn/typed.ts',
    "import type { Stats } from 'node:fs';\nexport type Size = Stats['size'];\n",
  );
  expect((await rulesBrokenBy(['src/nn'])).get('src/nn/typed.ts')).toEqual(['no-node-in-portable-code']);
});

// A path that is resolved, or loaded by `createRequire`, is no import.
it('names the native library where it is loaded and where its path is passed on, and nowhere else', async () => {
  const sources = fileURLToPath(new URL('../src/', import.meta.url));
  const files = await readdir(sources, { recursive: true });
  const naming: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    if (/['"]onnxruntime-node\b/.test(await readFile(join(sources, file), 'utf8'))) naming.push(file);
  }
  expect(naming.sort()).toEqual(['runtime/native-library-node.ts', 'runtime/native-process-node.ts']);
});

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), text);
}

/** A package.json with these packages at any version. */
async function writeManifest(
  path: string,
  dependencyLists: Record<string, readonly string[]>,
): Promise<void> {
  const lists = Object.entries(dependencyLists).map(([kind, names]) => [
    kind,
    Object.fromEntries(names.map((name) => [name, '*'])),
  ]);
  await write(join(path, 'package.json'), JSON.stringify({ main: 'index.js', ...Object.fromEntries(lists) }));
}

/** Names of the rules that each file breaks, by file. */
async function rulesBrokenBy(paths: readonly string[]): Promise<Map<string, string[]>> {
  const { output } = await cruise([...paths], {
    ...config.options,
    baseDir: folder,
    validate: true,
    ruleSet: { forbidden: config.forbidden! },
  });
  const rules = new Map<string, string[]>();
  for (const { from, rule } of (output as ICruiseResult).summary.violations) {
    rules.set(from, [...(rules.get(from) ?? []), rule.name]);
  }
  return rules;
}
