/**
 * @file `npm run test:package`: packs the package, checks its entries as bundlers and TypeScript resolve them (publint,
 * attw), installs it in an empty folder as a user would, runs its command and imports every entry; then installs it from a
 * git repository. Installing needs the npm cache or the registry; without either it says so and passes.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { contentProblems, type PackedPackage, publicModules } from './packed-package.ts';

const run = promisify(execFile);
const UNREACHABLE = /ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT/;

const folder = await mkdtemp(join(tmpdir(), 'udit-package-'));
try {
  const packed = await pack();
  console.log(`${packed.filename}: ${packed.files.length} files, ${megabytes(packed.size)} MB`);
  const problems = contentProblems(packed);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  await checkEntries(packed);
  await useArchive(packed);
  await useRepository();
} catch (error) {
  // What a command printed says more than the stack of the call to it.
  const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
  console.error([message, stdout, stderr].filter(Boolean).join('\n'));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true });
}

/** As a maintainer does: the build belongs to it. */
async function pack(): Promise<PackedPackage> {
  await rm('dist', { recursive: true, force: true });
  const options = ['--foreground-scripts=false', '--json', '--pack-destination', folder];
  const { stdout } = await run('npm', ['run', '--silent', 'pack', '--', ...options], { maxBuffer: 64e6 });
  return JSON.parse(stdout)[0];
}

/** CommonJS is left out: Node 20.19 and newer load ES modules by `require`. */
async function checkEntries({ filename }: PackedPackage): Promise<void> {
  const archive = join(folder, filename);
  await run('npx', ['--no-install', 'publint', archive, '--strict']);
  await run('npx', ['--no-install', 'attw', archive, '--profile', 'esm-only', '--no-color']);
  console.log('publint and attw find nothing');
}

async function useArchive(packed: PackedPackage): Promise<void> {
  const consumer = await installed('archive', join(folder, packed.filename), ['--ignore-scripts']);
  if (consumer === undefined) return;
  await tryCommand(consumer);
  await importModules(consumer, publicModules(JSON.parse(await readFile('package.json', 'utf8')).exports));
}

/** The files as they are here, committed or not. */
async function useRepository(): Promise<void> {
  const repository = join(folder, 'repository.git');
  await run('git', ['init', '--quiet', '--bare', repository]);
  const git = [
    '--git-dir',
    repository,
    '--work-tree',
    '.',
    '-c',
    'user.name=udit',
    '-c',
    'user.email=udit@localhost',
  ];
  await run('git', [...git, 'add', '.']);
  await run('git', [...git, 'commit', '--quiet', '--message', 'All']);
  const consumer = await installed('repository', `git+file://${repository}`, ['--ignore-scripts=false']);
  if (consumer !== undefined) await tryCommand(consumer);
}

/** @returns the folder of a project that has the package; undefined where its dependencies cannot be had */
async function installed(
  name: string,
  source: string,
  scripts: readonly string[],
): Promise<string | undefined> {
  const consumer = join(folder, name);
  await mkdir(consumer);
  await writeFile(join(consumer, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  // The last option undoes the silence that `npm run --silent` passes on: the reason for a failure is needed.
  const options = ['--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=0', '--loglevel=error'];
  // Nor is the setting of this project passed on; and nobody needs the CUDA files here.
  const env = { ...process.env, npm_config_ignore_scripts: undefined, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  try {
    await run('npm', ['install', ...options, ...scripts, source], { cwd: consumer, env });
    return consumer;
  } catch (error) {
    const reason = UNREACHABLE.exec(String((error as { stderr?: string }).stderr))?.[0];
    if (reason === undefined) throw error;
    console.log(`skipped: installing the package from its ${name} and running it (no registry: ${reason})`);
    return undefined;
  }
}

async function tryCommand(consumer: string): Promise<void> {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'));
  const help = await run('npx', ['--no-install', 'udit', '--help'], { cwd: consumer });
  if (!/Usage: udit/.test(help.stdout)) throw new Error(`udit --help printed:\n${help.stdout}`);
  const printed = await run('npx', ['--no-install', 'udit', '--version'], { cwd: consumer });
  if (printed.stdout.trim() !== version) {
    throw new Error(`udit --version printed ${printed.stdout.trim()}, package.json says ${version}`);
  }
  console.log(`installed from its ${basename(consumer)}, udit --help and --version answer as ${version}`);
}

async function importModules(consumer: string, specifiers: readonly string[]): Promise<void> {
  const file = join(consumer, 'import-all.js');
  await writeFile(file, specifiers.map((specifier) => `await import('${specifier}');\n`).join(''));
  await run('node', [file], { cwd: consumer });
  console.log(`${specifiers.length} public modules load`);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
