/** @file The `onnxruntime-web` backend: WebAssembly, in browsers and in Node. */
import * as ort from 'onnxruntime-web/wasm';
import { ortBackend } from './ort.ts';

// One thread unless the page is cross-origin isolated; more would silently fall back anyway.
ort.env.wasm.numThreads = 1;

export const wasmBackend = ortBackend('wasm', ort, 'wasm');
