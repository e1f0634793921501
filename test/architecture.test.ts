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
  ['district-core', 'src/core/upwards.ts', '../engine/graph/graph.ts'],
  ['district-host', 'src/host/files/upwards.ts', '../../formats/view.ts'],
  ['district-metrics', 'src/metrics/sideways.ts', '../host/files/lock-node.ts'],
  ['district-engine', 'src/engine/runtime/upwards.ts', '../../networks/denoisers/dit.ts'],
  ['district-formats', 'src/formats/sideways.ts', '../engine/graph/graph.ts'],
  ['district-charts', 'src/charts/upwards.ts', '../data/images/pixels.ts'],
  ['district-networks', 'src/networks/denoisers/sideways.ts', '../../diffusion/guidance.ts'],
  ['district-diffusion', 'src/diffusion/sideways.ts', '../networks/denoisers/dit.ts'],
  ['district-data', 'src/data/datasets/sideways.ts', '../../networks/nn/module.ts'],
  ['district-models', 'src/models/upwards.ts', '../tasks/sampling/sample.ts'],
  ['district-tasks', 'src/tasks/training/run/upwards.ts', '../../../cli/main.ts'],
  ['district-web', 'src/web/upwards.ts', '../cli/main.ts'],
  ['district-studio', 'src/studio/sideways.ts', '../web/page.ts'],
  ['district-cli', 'src/cli/upwards.ts', '../index.ts'],
  ['district-doors', 'src/doors/upwards.ts', '../index.ts'],
  ['room-host-machine', 'src/host/machine/sideways.ts', '../files/lock-node.ts'],
  ['room-host-files', 'src/host/files/sideways.ts', '../ranks/threads-node.ts'],
  ['room-host-ranks', 'src/host/ranks/sideways.ts', '../listing.ts'],
  ['room-engine-graph', 'src/engine/graph/upwards.ts', '../onnx/lower.ts'],
  ['room-engine-interp', 'src/engine/interp/sideways.ts', '../onnx/lower.ts'],
  ['room-engine-onnx', 'src/engine/onnx/upwards.ts', '../runtime/session.ts'],
  ['room-engine-runtime', 'src/engine/runtime/sideways.ts', '../compile/inference.ts'],
  ['room-engine-compile', 'src/engine/compile/sideways.ts', '../interp/evaluate.ts'],
  ['room-networks-nn', 'src/networks/nn/upwards.ts', '../denoisers/dit.ts'],
  ['room-networks-denoisers', 'src/networks/denoisers/upwards.ts', '../families.ts'],
  ['room-networks-autoencoders', 'src/networks/autoencoders/sideways.ts', '../denoisers/dit.ts'],
  ['room-networks-features', 'src/networks/features/sideways.ts', '../autoencoders/kl.ts'],
  ['room-data-images', 'src/data/images/upwards.ts', '../datasets/samples.ts'],
  ['room-data-datasets', 'src/data/datasets/upwards.ts', '../shards.ts'],
  ['room-tasks-sampling', 'src/tasks/sampling/sideways.ts', '../export/graph.ts'],
  ['room-tasks-training', 'src/tasks/training/run/pictures.ts', '../../sampling/sample.ts'],
  ['room-tasks-encoding', 'src/tasks/encoding/sideways.ts', '../sampling/sample.ts'],
  ['room-tasks-inspection', 'src/tasks/inspection/sideways.ts', '../export/graph.ts'],
  ['room-tasks-evaluation', 'src/tasks/evaluation/sideways.ts', '../export/graph.ts'],
  ['room-tasks-export', 'src/tasks/export/sideways.ts', '../inspection/cost.ts'],
  ['room-tasks-ablation', 'src/tasks/ablation/sideways.ts', '../bench/contest.ts'],
  ['room-tasks-bench', 'src/tasks/bench/sideways.ts', '../ablation/cell.ts'],
  ['district-unknown', 'src/misc/anything.ts', '../core/shape.ts'],
  ['room-unknown', 'src/tasks/misc/anything.ts', '../../core/shape.ts'],
  ['no-cycle', 'src/engine/graph/one.ts', './other.ts'],
  ['web-never-reaches-host', 'src/web/files.ts', '../models/with-files.ts'],
  ['no-node-in-portable-code', 'src/networks/reader.ts', 'node:fs'],
  ['no-node-in-portable-code', 'src/core/reader.ts', 'fs/promises'],
  ['no-node-file-in-portable-code', 'src/data/images/reader.ts', './decode-node.ts'],
  ['no-node-file-in-portable-code', 'src/tasks/sampling/watcher.ts', '../ablation/cell.ts'],
  ['no-node-package-in-portable-code', 'src/data/images/decoder.ts', 'sharp'],
  ['no-node-package-in-portable-code', 'src/data/datasets/artwork.ts', '@twemoji/svg'],
  ['no-node-package-in-portable-code', 'src/diffusion/colours.ts', 'chalk'],
  ['no-node-package-in-portable-code', 'src/engine/runtime/both.ts', 'onnxruntime-node'],
  ['onnxruntime-in-runtime-only', 'src/tasks/training/run/direct.ts', 'onnxruntime-node'],
  ['onnxruntime-in-runtime-only', 'src/networks/direct.ts', 'onnxruntime-web'],
  ['native-library-in-one-file', 'src/engine/runtime/direct-node.ts', 'onnxruntime-node'],
  ['commands-on-demand', 'src/cli/program.ts', './sample.ts'],
  ['commands-on-demand', 'src/cli/terminal.ts', '../tasks/sampling/sample.ts'],
  ['no-test-code-in-sources', 'src/cli/golden.ts', '../../test/support/closeness.ts'],
  ['no-test-code-in-sources', 'src/engine/interp/borrowed.ts', './evaluate.test.ts'],
  ['no-development-package-in-sources', 'src/tasks/training/run/checked.ts', 'vitest'],
  ['no-unresolvable', 'src/tasks/training/run/lost.ts', './does-not-exist.ts'],
];

const ALLOWED: readonly Import[] = [
  ['src/networks/denoisers/dit.ts', '../nn/module.ts'],
  ['src/networks/families.ts', './denoisers/dit.ts'],
  ['src/engine/onnx/lower.ts', '../graph/graph.ts'],
  ['src/engine/runtime/native-library-node.ts', 'onnxruntime-node'],
  ['src/engine/runtime/session.ts', 'onnxruntime-web'],
  ['src/engine/compile/disk-cache-node.ts', '../../host/files/lock-node.ts'],
  ['src/data/images/decode-node.ts', 'sharp'],
  ['src/data/datasets/samples.ts', '../images/pixels.ts'],
  ['src/formats/view.ts', 'fflate'],
  ['src/formats/file-node.ts', '../host/files/lock-node.ts'],
  ['src/host/files/lock-node.ts', 'node:fs'],
  ['src/models/with-files.ts', '../host/files/text.ts'],
  ['src/models/file.ts', '../networks/denoisers/dit.ts'],
  ['src/tasks/training/run/loop.ts', 'node:fs'],
  ['src/tasks/ablation/cell.ts', '../training/run/loop.ts'],
  ['src/tasks/ablation/pictures.ts', '../sampling/sample.ts'],
  ['src/tasks/bench/contest.ts', '../training/run/loop.ts'],
  ['src/tasks/bench/contestant.ts', 'node:child_process'],
  ['src/web/page.ts', '../models/file.ts'],
  ['src/studio/server.ts', '../tasks/training/run/loop.ts'],
  ['src/cli/main.ts', '../core/shape.ts'],
  ['src/cli/serve.ts', '../studio/server.ts'],
  ['src/doors/node.ts', '../cli/main.ts'],
  ['src/engine/interp/evaluate.test.ts', '../onnx/lower.ts'],
  ['src/core/shape.test.ts', 'vitest'],
  ['test/parity.test.ts', '../src/tasks/training/run/loop.ts'],
];

/** Files that are imported above and import nothing. */
const LEAVES = [
  'src/core/shape.ts',
  'src/host/files/text.ts',
  'src/host/machine/cores-node.ts',
  'src/host/ranks/threads-node.ts',
  'src/host/listing.ts',
  'src/engine/graph/graph.ts',
  'src/engine/compile/inference.ts',
  'src/engine/interp/evaluate.ts',
  'src/diffusion/guidance.ts',
  'src/networks/nn/module.ts',
  'src/networks/autoencoders/kl.ts',
  'src/data/images/pixels.ts',
  'src/data/shards.ts',
  'src/tasks/export/graph.ts',
  'src/tasks/inspection/cost.ts',
  'src/tasks/sampling/sample.ts',
  'src/cli/sample.ts',
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
  await write('src/engine/graph/other.ts', "import './one.ts';\n");
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
    'src/networks/nn/typed.ts',
    "import type { Stats } from 'node:fs';\nexport type Size = Stats['size'];\n",
  );
  expect((await rulesBrokenBy(['src/networks/nn'])).get('src/networks/nn/typed.ts')).toEqual([
    'no-node-in-portable-code',
  ]);
});

it('lets the table of commands import them on demand', async () => {
  await write('src/cli/commands.ts', "export const load = () => import('./sample.ts');\n");
  expect((await rulesBrokenBy(['src/cli'])).get('src/cli/commands.ts')).toBeUndefined();
});

// A path that is resolved, or loaded by `createRequire`, is no import.
it('names the native library where it is loaded and where its path is passed on, and nowhere else', async () => {
  const sources = fileURLToPath(new URL('../src/', import.meta.url));
  const files = await readdir(sources, { recursive: true });
  const naming: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    if (/['"]onnxruntime-node\b/.test(await readFile(join(sources, file), 'utf8'))) naming.push(file);
  }
  expect(naming.sort()).toEqual([
    'engine/runtime/native-library-node.ts',
    'engine/runtime/native-process-node.ts',
  ]);
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
