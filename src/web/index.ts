/** @file `udit/web`: backends and models of a program in a browser. */

export { wasmBackend } from '../runtime/ort-web.ts';
export { webgpuBackend } from '../runtime/ort-webgpu.ts';
export { openModel } from './open-model.ts';
