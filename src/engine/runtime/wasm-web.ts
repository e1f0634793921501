/** @file WebAssembly in browsers, through `onnxruntime-web`. In Node it works too, with one thread; wasm-node.ts has more. */
import * as ort from 'onnxruntime-web/wasm';
import { webBackend } from './web-backend.ts';

/** A page that is cross-origin isolated may have threads: they share memory. */
export const wasmBackend = webBackend('wasm', ort, { hasThreads: globalThis.crossOriginIsolated === true });
