/** @file `udit/web`: backends, models and sampling in a worker, for a program in a browser. */

export { wasmBackend } from '../engine/runtime/wasm-web.ts';
export { webgpuBackend } from '../engine/runtime/webgpu-web.ts';
export { toImageData } from './image-data.ts';
export { openModel } from './open-model.ts';
export { openSampler, type WorkerLike, type WorkerSampler } from './open-sampler.ts';
export { serveSampler, type WorkerScope } from './serve-sampler.ts';
export type { WebDevice, WorkerSamplerOptions } from './worker-protocol.ts';
