/** @file Runs a TypeScript program as its reader would, except that `udit` means the sources. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { REPOSITORY } from './documents.ts';

const TSX = fileURLToPath(import.meta.resolve('tsx/cli'));

/** @returns what it prints; rejects if it fails */
export async function runProgram(
  file: string,
  args: readonly string[],
  { cwd }: { readonly cwd: string },
): Promise<string> {
  const tsconfig = join(REPOSITORY, 'examples/tsconfig.json');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [TSX, '--tsconfig', tsconfig, file, ...args],
    {
      cwd,
      env: { ...process.env, UDIT_CACHE: join(cwd, 'cache') },
    },
  );
  return stdout;
}
