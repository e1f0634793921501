/** @file The `onnxruntime-web` backend: WebAssembly, in browsers and in Node. */
import * as ort from 'onnxruntime-web/wasm';
import { webBackend } from './web-backend.ts';

export const wasmBackend = webBackend('wasm', ort);
