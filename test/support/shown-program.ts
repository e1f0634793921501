/** @file Runs a TypeScript program as its reader would, except that `udit` means the sources. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EXAMPLES_TSCONFIG } from './documents.ts';

const TSX = import.meta.resolve('tsx');

/** @returns what it prints; rejects if it fails */
export async function runProgram(
  file: string,
  args: readonly string[],
  { cwd }: { readonly cwd: string },
): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', TSX, file, ...args], {
    cwd,
    env: { ...process.env, TSX_TSCONFIG_PATH: EXAMPLES_TSCONFIG, UDIT_CACHE: join(cwd, 'cache') },
  });
  return stdout;
}
