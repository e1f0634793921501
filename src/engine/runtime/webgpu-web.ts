/** @file WebGPU in browsers, through the build of `onnxruntime-web` that has it; Node has gpu-node.ts. */
import * as ort from 'onnxruntime-web/webgpu';
import type { Backend } from './session.ts';
import { webBackend } from './web-backend.ts';

/** What is computed from weights before they are loaded is done by the same build in WebAssembly. */
export const webgpuBackend: Backend = { ...webBackend('webgpu', ort), foldsOn: webBackend('wasm', ort) };
