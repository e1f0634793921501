/**
 * @file The telemetry of ONNX Runtime's native library is off unless the user has set its switch. Where it is on, the
 * library keeps an identifier of the device and a record of its use, and sends both to its maker.
 */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type koffi from 'koffi';
import { RuntimeUnavailableError } from '../../core/errors.ts';

const SWITCH = 'ORT_DISABLE_TELEMETRY';

/** Variables for a process of its own, below those of the user. */
export const WITHOUT_TELEMETRY = { [SWITCH]: '1' } as const;

/**
 * Holds for the whole process. The library reads its switch once, when the first session of the process is made.
 *
 * @throws RuntimeUnavailableError in a worker thread that cannot reach the environment of its process
 */
export function disableTelemetry(): void {
  const isSet = process.env[SWITCH] !== undefined;
  process.env[SWITCH] ??= WITHOUT_TELEMETRY[SWITCH];
  // Windows has another telemetry, which has no switch (docs/guides/devices.md).
  if (isMainThread || process.platform === 'win32') return;
  try {
    setInProcess(process.env[SWITCH]);
  } catch (cause) {
    if (isSet) return;
    throw new RuntimeUnavailableError({
      where: 'runtime cpu (thread)',
      problem: `${SWITCH} is not set, and a worker thread cannot set it for its process without the package koffi`,
      fix: `start the program with ${SWITCH}=1`,
      cause,
    });
  }
}

/** In a worker thread `process.env` is a copy, which native code does not see. */
function setInProcess(value: string): void {
  const { load } = createRequire(import.meta.url)('koffi') as typeof koffi;
  const setenv = load(null).func('int setenv(const char *name, const char *value, int overwrite)');
  setenv(SWITCH, value, 0);
}
