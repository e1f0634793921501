import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { runWithNativeLibrary } from './native-process-node.ts';
import { disableTelemetry } from './telemetry-node.ts';

const SWITCH = 'ORT_DISABLE_TELEMETRY';
/** Says which file it would load, and how the switch stands. */
const SCRIPT = `process.stdout.write(process.argv[1].match(/onnxruntime-node/)[0] + ' ' + process.env.${SWITCH});`;

beforeEach(() => {
  vi.stubEnv(SWITCH, undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

test('telemetry is off', () => {
  disableTelemetry();
  expect(process.env[SWITCH]).toBe('1');
});

test.each(['0', '', 'true'])('a switch that the user has set to "%s" stays', (value) => {
  vi.stubEnv(SWITCH, value);
  disableTelemetry();
  expect(process.env[SWITCH]).toBe(value);
});

test.each([
  [undefined, '1'],
  ['0', '0'],
])('in a process of its own the switch %s is %s', async (value, expected) => {
  vi.stubEnv(SWITCH, value);
  expect((await runWithNativeLibrary(SCRIPT, [])).stdout).toBe(`onnxruntime-node ${expected}`);
});
