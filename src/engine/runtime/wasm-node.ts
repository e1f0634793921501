/** @file WebAssembly in Node, through the build of `onnxruntime-web` that starts Node's threads. */
import * as ort from 'onnxruntime-web';
import { webBackend } from './web-backend.ts';

export const wasmBackend = webBackend('wasm', ort, { hasThreads: true });
