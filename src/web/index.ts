/** @file `udit/web`: backends and models of a program in a browser. */

export { wasmBackend } from '../engine/runtime/wasm-web.ts';
export { webgpuBackend } from '../engine/runtime/webgpu-web.ts';
export { openModel } from './open-model.ts';
