/** @file WebGPU in browsers, through the build of `onnxruntime-web` that has it; Node has gpu-node.ts. */
import * as ort from 'onnxruntime-web/webgpu';
import type { Backend } from './session.ts';
import { webBackend } from './web-backend.ts';

/** The GPU has the threads; WebAssembly beside it computes once what depends on weights alone, before they are loaded. */
const ONE_THREAD = { hasThreads: false };

export const webgpuBackend: Backend = {
  ...webBackend('webgpu', ort, ONE_THREAD),
  foldsOn: webBackend('wasm', ort, ONE_THREAD),
};
