/**
 * @file GPUs through onnxruntime-node: WebGPU, which is Vulkan, Direct3D 12 or Metal, and CUDA. Whether there is one is
 * found out by devices-node.ts.
 */

import { cpuBackend } from './cpu-node.ts';
import { ort } from './native-library-node.ts';
import { expectOneWorker } from './ort.ts';
import { ortBackend } from './ort-backend.ts';
import type { Backend } from './session.ts';

function gpuBackend(name: 'webgpu' | 'cuda'): Backend {
  const backend = ortBackend(name, ort);
  return {
    ...backend,
    foldsOn: cpuBackend,
    async createSession(model, { workers = 1, ...options }) {
      expectOneWorker(name, workers);
      return backend.createSession(model, options);
    },
  };
}

export const webgpuBackend = gpuBackend('webgpu');
export const cudaBackend = gpuBackend('cuda');
