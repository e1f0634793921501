/** @file ONNX Runtime's native library. It is loaded here only, once its telemetry is off. */
import { createRequire } from 'node:module';
import type * as Ort from 'onnxruntime-node';
import { disableTelemetry } from './telemetry-node.ts';

disableTelemetry();
// Not an import: those come before the line above.
export const ort = createRequire(import.meta.url)('onnxruntime-node') as typeof Ort;
