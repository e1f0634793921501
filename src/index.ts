/**
 * @file `udit`: what most programs need, in Node and in browsers alike. It imports no backend: `udit/node` and `udit/web`
 * have those, with files and devices.
 */

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
export type { ImageSpace } from './core/image-space.ts';
export { fold, normal, type RandomKey, randomKey } from './core/random.ts';
export { readTensors, type TensorInfo, type TensorSource } from './core/tensor-source.ts';
export { toPixels } from './data/images/pixels.ts';
export type { ObjectiveSpec } from './diffusion/objectives.ts';
export { SAMPLERS, type SamplerName } from './diffusion/samplers.ts';
export type { CompileCache } from './engine/compile/cache.ts';
export type { Backend, BackendName } from './engine/runtime/session.ts';
export { type ByteSource, bytesInMemory, bytesOfBlob } from './formats/byte-source.ts';
export { parseNpz } from './formats/npz.ts';
export { openTensors } from './formats/open.ts';
export { parseSafetensors, type SafetensorsFile } from './formats/safetensors.ts';
export type { TensorFile } from './formats/tensor-file.ts';
export { type ModelBytes, type OpenModelOptions, openModel } from './models/open-bytes.ts';
export {
  type AutoencoderCard,
  type FeatureCard,
  type ModelCard,
  type NetworkCard,
  type SavedModel,
  type SavedNetwork,
  spaceOf,
  type WeightSet,
  type WeightSource,
} from './models/saved-model.ts';
export type { DenoiserConfig } from './networks/denoisers/denoiser.ts';
export type { DiTConfig } from './networks/denoisers/dit.ts';
export type { UDiTConfig } from './networks/denoisers/udit.ts';
export { PRECISIONS, type Precision } from './networks/precision.ts';
export { type ConfigOverrides, PRESETS, presetSpec } from './networks/presets.ts';
export { createModel, type Family, type ModelSpec } from './networks/registry.ts';
export {
  type ImageLikelihoods,
  type LikelihoodOptions,
  logLikelihood,
} from './tasks/sampling/log-likelihood.ts';
export {
  createPipeline,
  type LatentDecoder,
  type PictureBatch,
  type Pipeline,
  type PipelineOptions,
} from './tasks/sampling/pipeline.ts';
export {
  createSampler,
  type ImageSampler,
  type SampledBatch,
  type SampledModel,
  type SampleRequest,
  type SamplerOptions,
  type StepProgress,
} from './tasks/sampling/sample.ts';
export type { SamplingSettings } from './tasks/sampling/settings.ts';
export { drawInto, type Sink, type SinkResult } from './tasks/sampling/sinks/sink.ts';
