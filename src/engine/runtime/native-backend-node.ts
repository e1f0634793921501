/** @file ONNX Runtime's native code, in the thread that calls it: a run keeps that thread until it is done. */
import { ort } from './native-library-node.ts';
import { ortBackend } from './ort-backend.ts';

export const nativeBackend = ortBackend('cpu', ort);

/** Of the native library, as reports of measurements name it. */
export const runtimeVersion = ort.env.versions.node ?? 'unknown';
