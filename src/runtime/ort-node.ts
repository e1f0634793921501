/** @file The `onnxruntime-node` backend: native code on the CPU. */
import * as ort from 'onnxruntime-node';
import { ortBackend } from './ort.ts';

export const cpuBackend = ortBackend('cpu', ort, 'cpu');
