/** @file `npm run parity -- DIR`: our numbers against recorded ones of the reference. */
import { parseArgs } from 'node:util';
import { UditError } from '../../src/core/errors.ts';
import type { Backend } from '../../src/runtime/session.ts';
import { formatResult, formatSummary } from './report.ts';
import { checkFolder, type FixtureResult } from './run.ts';

const USAGE = `Usage: npm run parity -- DIR [--only TEXT] [--json] [--backend cpu|wasm]

Checks every fixture below DIR and exits with 1 unless all of them pass.

  --only TEXT     only fixtures whose path below DIR contains TEXT
  --json          results as one JSON array instead of lines
  --backend NAME  cpu (onnxruntime-node, the default) or wasm (onnxruntime-web)`;

class UsageError extends Error {}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        backend: { type: 'string', default: 'cpu' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return { ...values, folders: positionals };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function loadBackend(name: string): Promise<Backend> {
  if (name === 'cpu') return (await import('../../src/runtime/ort-node.ts')).cpuBackend;
  if (name === 'wasm') return (await import('../../src/runtime/ort-web.ts')).wasmBackend;
  throw new UsageError(`there is no backend "${name}": use cpu or wasm`);
}

async function main(): Promise<void> {
  const { folders, only, json, backend: backendName, help } = readArguments();
  if (help) {
    console.log(USAGE);
    return;
  }
  const [folder, ...others] = folders;
  if (folder === undefined || others.length > 0) throw new UsageError('give one folder of fixtures');
  const backend = await loadBackend(backendName);
  const results: FixtureResult[] = [];
  for await (const result of checkFolder(folder, { backend, only })) {
    results.push(result);
    if (!json) console.log(formatResult(result));
  }
  console.log(json ? JSON.stringify(results, null, 1) : formatSummary(results));
  if (results.some(({ status }) => status === 'failed')) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else if (error instanceof UditError) {
    console.error(error.message);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
