/** @file A command line run in this process, and what it printed. */
import { runCommandLine } from '../../src/cli/program.ts';
import { recordingTerminal } from './recording-terminal.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** @param root - a temporary folder, called ROOT in what is returned */
export async function runUdit(args: readonly string[], root: string): Promise<Outcome> {
  const terminal = recordingTerminal();
  const code = await runCommandLine(args, terminal);
  const { out, err } = terminal.printed;
  return { code, out: out.replaceAll(root, 'ROOT'), err: err.replaceAll(root, 'ROOT') };
}
