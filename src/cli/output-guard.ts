/** @file Outputs that would destroy what a command reads, or what a run goes on from. */
import { resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { isSameFile } from '../host/files/same-file-node.ts';
import { runPartAt } from '../tasks/training/run/run-parts.ts';
import { shortest } from './wording.ts';

/**
 * To be called before any work.
 *
 * @param flag - that the user named the outputs with
 * @param outputs - files or folders that will be written or removed
 * @param inputs - files that the command reads
 * @throws ConfigError if an output is an input, or part of a run
 */
export async function expectHarmlessOutputs(
  flag: string,
  outputs: readonly string[],
  inputs: readonly string[] = [],
): Promise<void> {
  for (const output of outputs) {
    for (const input of inputs) {
      if (!(await isSameFile(output, input))) continue;
      const isNamedAlike = resolve(output) === resolve(input);
      const problem = isNamedAlike
        ? `${output} is read, and would be overwritten`
        : `${output} and ${input} are one file, which is read and would be overwritten`;
      throw new ConfigError({ where: flag, problem, fix: 'give another name' });
    }
    const part = await runPartAt(output);
    if (part === undefined) continue;
    const problem =
      part === resolve(output)
        ? `${output} belongs to a run, which goes on from it`
        : `${output} lies in ${shortest(part)}, which belongs to a run: it goes on from there`;
    throw new ConfigError({ where: flag, problem, fix: 'choose another place' });
  }
}
