/**
 * @file `npm run test:package`: packs the package, checks its entries as bundlers and TypeScript resolve them (publint,
 * attw), installs it in an empty folder as a user would, runs its command and imports every entry. Installing needs the npm
 * cache or the registry; without either it says so and passes.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  if (await installed(packed)) {
    await tryCommand();
    await importModules(publicModules(JSON.parse(await readFile('package.json', 'utf8')).exports));
  }
} catch (error) {
  // What a command printed says more than the stack of the call to it.
  const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
  console.error([message, stdout, stderr].filter(Boolean).join('\n'));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true });
}

async function pack(): Promise<PackedPackage> {
  // No prepack script builds, since the project's .npmrc switches all such scripts off.
  await run('npm', ['run', '--silent', 'build']);
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    maxBuffer: 64e6,
  });
  return JSON.parse(stdout)[0];
}

/** CommonJS is left out: Node 20.19 and newer load ES modules by `require`. */
async function checkEntries({ filename }: PackedPackage): Promise<void> {
  const archive = join(folder, filename);
  await run('npx', ['--no-install', 'publint', archive, '--strict']);
  await run('npx', ['--no-install', 'attw', archive, '--profile', 'esm-only', '--no-color']);
  console.log('publint and attw find nothing');
}

/** False where the dependencies cannot be had. */
async function installed({ filename }: PackedPackage): Promise<boolean> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  // The last option undoes the silence that `npm run --silent` passes on: the reason for a failure is needed.
  const options = [
    '--prefer-offline',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--fetch-retries=0',
    '--loglevel=error',
  ];
  try {
    await run('npm', ['install', ...options, join(folder, filename)], { cwd: folder });
    return true;
  } catch (error) {
    const reason = UNREACHABLE.exec(String((error as { stderr?: string }).stderr))?.[0];
    if (reason === undefined) throw error;
    console.log(`skipped: installing, running and importing the package (no registry: ${reason})`);
    return false;
  }
}

async function tryCommand(): Promise<void> {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'));
  const help = await run('npx', ['--no-install', 'udit', '--help'], { cwd: folder });
  if (!/Usage: udit/.test(help.stdout)) throw new Error(`udit --help printed:\n${help.stdout}`);
  const printed = await run('npx', ['--no-install', 'udit', '--version'], { cwd: folder });
  if (printed.stdout.trim() !== version) {
    throw new Error(`udit --version printed ${printed.stdout.trim()}, package.json says ${version}`);
  }
  console.log(`udit --help and --version answer as ${version}`);
}

async function importModules(specifiers: readonly string[]): Promise<void> {
  const file = join(folder, 'import-all.js');
  await writeFile(file, specifiers.map((specifier) => `await import('${specifier}');\n`).join(''));
  await run('node', [file], { cwd: folder });
  console.log(`${specifiers.length} public modules load`);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
