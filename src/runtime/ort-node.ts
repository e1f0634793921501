/** @file The `onnxruntime-node` backend: native code on the CPU. */
import * as ort from 'onnxruntime-node';
import { keepFreedMemory } from './malloc-node.ts';
import { optimiseModel } from './optimise-node.ts';
import { ortBackend } from './ort.ts';
import type { Backend } from './session.ts';

const backend = ortBackend('cpu', ort, 'cpu');

export const cpuBackend: Backend = {
  ...backend,
  async createSession(model, options) {
    if (options.purpose === 'training') await keepFreedMemory();
    return backend.createSession(model, options);
  },
  optimise: optimiseModel,
};

/** Of the native library, as reports of measurements name it. */
export const runtimeVersion = ort.env.versions.node ?? 'unknown';
