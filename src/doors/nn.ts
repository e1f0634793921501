/** @file `udit/nn`: modules, layers and initial values, to write networks of one's own with. */

export {
  Autoencoder,
  type AutoencoderConfig,
  type PictureRange,
} from '../networks/autoencoders/autoencoder.ts';
export * from '../networks/autoencoders/latent-distribution.ts';
export { type Condition, Denoiser, type DenoiserConfig } from '../networks/denoisers/denoiser.ts';
export type { Families, NetworkFamily, NetworkSpec, Recognised, Role } from '../networks/family.ts';
export { FeatureNetwork } from '../networks/features/feature-network.ts';
export * from '../networks/nn/conditioning.ts';
export * from '../networks/nn/initialise.ts';
export * from '../networks/nn/layers.ts';
export * from '../networks/nn/module.ts';
export * from '../networks/nn/network.ts';
export * from '../networks/nn/position.ts';
export * from '../networks/nn/position-scaling.ts';
export * from '../networks/nn/rotary.ts';
export * from '../networks/nn/size-units.ts';
export * from '../networks/nn/sub-grids.ts';
export { DENOISER_OPTIONS } from '../networks/options.ts';
export { inPrecision } from '../networks/precision.ts';
export { imageShapeOf, type NetworkTrace, type TraceAt, traceNetwork } from '../networks/trace.ts';
