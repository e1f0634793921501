/** @file The Python of this machine that has what a test compares with, where there is one. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Debian's own Python first: it is the one that has Debian's PyTorch. */
const INTERPRETERS = ['/usr/bin/python3', 'python3'];

export const NO_PYTORCH = `none of ${INTERPRETERS.join(', ')} can import torch`;

export function findPythonWithTorch(): Promise<string | undefined> {
  return findPython('import torch');
}

/** The first in which a program runs without an error. */
export async function findPython(program: string): Promise<string | undefined> {
  for (const python of INTERPRETERS) {
    const found = await run(python, ['-c', program]).then(
      () => true,
      () => false,
    );
    if (found) return python;
  }
  return undefined;
}
