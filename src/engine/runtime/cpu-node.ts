/** @file The `onnxruntime-node` backend: native code on the CPU, in the calling thread or in threads of its own. */
import { keepFreedMemory } from '../../host/machine/malloc-node.ts';
import { freeMemory } from '../../host/machine/memory-node.ts';
import { physicalCores } from '../../host/machine/physical-cores-node.ts';
import { nativeBackend } from './native-backend-node.ts';
import { optimiseModel } from './optimise-node.ts';
import type { Backend } from './session.ts';
import { openSessionPool } from './session-pool-node.ts';

export { runtimeVersion } from './native-backend-node.ts';

export const cpuBackend: Backend = {
  ...nativeBackend,
  async createSession(model, { workers, ...options }) {
    if (options.purpose === 'training') await keepFreedMemory();
    return workers === undefined
      ? nativeBackend.createSession(model, options)
      : openSessionPool(model, options, workers);
  },
  optimise: optimiseModel,
  machine: {
    get cores() {
      return physicalCores();
    },
    freeMemory,
  },
};
