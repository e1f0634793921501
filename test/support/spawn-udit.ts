/** @file The real command as a process of its own. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath, pathToFileURL } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/udit.js', import.meta.url));

export interface UditProcess {
  kill(signal: NodeJS.Signals): boolean;
  /** Everything on both streams so far, in the order in which it arrived here: streams overtake each other. */
  printed(): string;
  /** Everything on standard error so far, in its order. */
  printedToError(): string;
  /** Settles when `pattern` has been printed; fails if the process ends before. */
  hasPrinted(pattern: RegExp): Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

export function spawnUdit(args: readonly string[], env: NodeJS.ProcessEnv = process.env): UditProcess {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
  const child: ChildProcess = spawn(process.execPath, [BIN, ...args], { stdio, env });
  const ended: UditProcess['ended'] = new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  const streams = [child.stdout!, child.stderr!];
  let printed = '';
  for (const stream of streams) {
    stream.on('data', (chunk) => {
      printed += chunk;
    });
  }
  let errors = '';
  child.stderr!.on('data', (chunk) => {
    errors += chunk;
  });
  return {
    ended,
    printedToError: () => errors,
    kill: (signal) => child.kill(signal),
    printed: () => printed,
    hasPrinted: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(printed)) resolve();
        };
        for (const stream of streams) stream.on('data', look);
        look();
        ended.then(() => reject(new Error(`the process has ended without printing ${pattern}: ${printed}`)));
      }),
  };
}

/** Runs the command as soon as something comes in, with the arguments behind the first one. */
const WAITING = `
await new Promise((resolve) => process.stdin.once('data', resolve));
process.stdin.destroy();
await import(process.argv[1]);`;

/** Runs the command when nobody reads either of its streams any more. @returns how it ended */
export async function runUnread(args: readonly string[], env: NodeJS.ProcessEnv): UditProcess['ended'] {
  const program = ['--input-type=module', '--eval', WAITING, pathToFileURL(BIN).href, ...args];
  const child = spawn(process.execPath, program, { env });
  const ended = once(child, 'exit');
  for (const stream of [child.stdout, child.stderr]) {
    stream.destroy();
    await once(stream, 'close');
  }
  child.stdin.end('go');
  const [code, signal] = await ended;
  return { code, signal };
}
