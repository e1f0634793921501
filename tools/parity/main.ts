/** @file `npm run parity -- DIR`: our numbers against recorded ones of the reference. */
import { parseArgs } from 'node:util';
import { UditError } from '../../src/core/errors.ts';
import { DEVICE_REQUESTS, type DeviceRequest, openDevice } from '../../src/engine/runtime/devices-node.ts';
import { formatResult, formatSummary } from './report.ts';
import { checkFolder, type FixtureResult } from './run.ts';

const USAGE = `Usage: npm run parity -- DIR [--only TEXT] [--json] [--device NAME]

Checks every fixture below DIR and exits with 1 unless all of them pass.

  --only TEXT     only fixtures whose path below DIR contains TEXT
  --json          results as one JSON array instead of lines
  --device NAME   ${DEVICE_REQUESTS.join(', ')} (default: cpu)`;

class UsageError extends Error {}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        device: { type: 'string', default: 'cpu' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return { ...values, folders: positionals };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function deviceNamed(name: string): DeviceRequest {
  const request = DEVICE_REQUESTS.find((known) => known === name);
  if (request === undefined) {
    throw new UsageError(`there is no device "${name}": use ${DEVICE_REQUESTS.join(', ')}`);
  }
  return request;
}

async function main(): Promise<void> {
  const { folders, only, json, device, help } = readArguments();
  if (help) {
    console.log(USAGE);
    return;
  }
  const [folder, ...others] = folders;
  if (folder === undefined || others.length > 0) throw new UsageError('give one folder of fixtures');
  const backend = await openDevice(deviceNamed(device));
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
