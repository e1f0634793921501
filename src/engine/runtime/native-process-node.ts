/** @file ONNX Runtime's native library in a process of its own, for work that may crash or take much memory. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { WITHOUT_TELEMETRY } from './telemetry-node.ts';

/** The file that the process loads. */
export const NATIVE_LIBRARY = createRequire(import.meta.url).resolve('onnxruntime-node');

/** @param script - CommonJS; its arguments are {@link NATIVE_LIBRARY} and `args`. */
export function runWithNativeLibrary(
  script: string,
  args: readonly string[],
  { timeout = 0 }: { readonly timeout?: number } = {},
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(
    process.execPath,
    ['--input-type=commonjs', '--eval', script, NATIVE_LIBRARY, ...args],
    { timeout, env: { ...WITHOUT_TELEMETRY, ...process.env } },
  );
}
