/**
 * @file `udit`: what most programs need, in Node and in browsers alike. It imports no backend: `udit/node` and `udit/web`
 * have those, with files and devices.
 */

export { type ByteSource, bytesInMemory, bytesOfBlob } from './checkpoint/byte-source.ts';
export { openTensors } from './checkpoint/open.ts';
export { parseSafetensors, type SafetensorsFile } from './checkpoint/safetensors.ts';
export type { TensorFile } from './checkpoint/tensor-file.ts';
export type { CompileCache } from './compile/cache.ts';
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
export { toPixels } from './data/pixels.ts';
export type { ObjectiveSpec } from './diffusion/objectives.ts';
export { SAMPLERS, type SamplerName } from './diffusion/samplers.ts';
export type { DenoiserConfig } from './models/denoiser.ts';
export type { DiTConfig } from './models/dit.ts';
export { PRECISIONS, type Precision } from './models/precision.ts';
export { type ConfigOverrides, PRESETS, presetSpec } from './models/presets.ts';
export { createModel, type Family, type ModelSpec } from './models/registry.ts';
export type { UDiTConfig } from './models/udit.ts';
export type { Backend, BackendName } from './runtime/session.ts';
export { type ImageLikelihoods, type LikelihoodOptions, logLikelihood } from './sampling/log-likelihood.ts';
export {
  createSampler,
  type ImageSampler,
  type SampledBatch,
  type SampledModel,
  type SampleRequest,
  type SamplerOptions,
  type StepProgress,
} from './sampling/sample.ts';
export type { SamplingSettings } from './sampling/settings.ts';
export { type ModelBytes, type OpenModelOptions, openModel } from './saved-model/open-bytes.ts';
export type { ModelCard, SavedModel, WeightSet, WeightSource } from './saved-model/saved-model.ts';
