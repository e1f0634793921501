/**
 * @file The library: what most programs need. It runs in Node and in browsers alike, since it imports no backend;
 * `udit/runtime/ort-node` (`cpuBackend`) and `udit/runtime/ort-web` (`wasmBackend`) are imported beside it. Everything
 * else has a path of its own, as in `udit/graph/operators`, `udit/checkpoint/file-node` or `udit/train/training-session`.
 */

// Models: a description in, a tree of modules out; no weights are allocated.

export type { Condition, Denoiser, DenoiserConfig, TraceOptions } from './models/denoiser.ts';
export type { DiTConfig } from './models/dit.ts';
export { type ConfigOverrides, PRESETS, presetSpec } from './models/presets.ts';
export { createModel, type Family, type ModelSpec } from './models/registry.ts';
export type { UDiTConfig } from './models/udit.ts';
export { initialise } from './nn/initialise.ts';

// Checkpoints: bytes in, a model with its weights out. `udit/checkpoint/file-node` reads files.

export { type ByteSource, bytesInMemory, bytesOfBlob } from './checkpoint/byte-source.ts';
export { openTensors } from './checkpoint/open.ts';
export { parseSafetensors, type SafetensorsFile } from './checkpoint/safetensors.ts';
export type { TensorFile } from './checkpoint/tensor-file.ts';
export {
  type FoundModel,
  findModel,
  type ModelRequest,
  openModel,
  openSavedModel,
} from './saved-model/open-model.ts';
export type { ModelCard, SavedModel, WeightSet, WeightSource } from './saved-model/saved-model.ts';

// Diffusion: what a model predicts, and how images are drawn with it.

export { toPixels } from './data/pixels.ts';
export { createObjective, type ObjectiveSpec } from './diffusion/objectives.ts';
export { SAMPLERS, type SamplerName } from './diffusion/samplers.ts';
export { type ImageLikelihoods, type LikelihoodOptions, logLikelihood } from './sampling/log-likelihood.ts';
export {
  createSampler,
  type ImageSampler,
  type SampledBatch,
  type SampleRequest,
  type SamplerOptions,
  type StepProgress,
} from './sampling/sample.ts';

// Graphs: built with `udit/graph/operators`, then differentiated, printed, compiled.

export { compileInference } from './compile/inference.ts';
export { type CompileOptions, compileTraining } from './compile/training.ts';
export { type Graph, graphOf } from './graph/graph.ts';
export { input } from './graph/operators.ts';
export { formatGraph } from './graph/print.ts';
export type { Tensor } from './graph/tensor.ts';
export { gradients } from './graph/vjp.ts';
export type { Backend, Session } from './runtime/session.ts';

// Values, randomness, errors.

export type { DType } from './core/dtype.ts';
export {
  CheckpointError,
  ConfigError,
  DataError,
  DownloadError,
  DTypeError,
  NumericsError,
  RuntimeUnavailableError,
  ShapeError,
  UditError,
} from './core/errors.ts';
export { type HostTensor, type TensorMap, tensorOf, toNumbers } from './core/host-tensor.ts';
export { fold, normal, type RandomKey, randomKey } from './core/random.ts';
export { readTensors, type TensorInfo, type TensorSource } from './core/tensor-source.ts';
