/** @file `udit/nn`: modules, layers and initial values, to write networks of one's own with. */

export {
  type Condition,
  Denoiser,
  type DenoiserConfig,
  type Stage,
  type TraceOptions,
} from '../models/denoiser.ts';
export { inPrecision } from '../models/precision.ts';
export { type ForwardOptions, traceForward } from '../models/trace.ts';
export * from '../nn/conditioning.ts';
export * from '../nn/initialise.ts';
export * from '../nn/layers.ts';
export * from '../nn/module.ts';
export * from '../nn/position.ts';
export * from '../nn/rotary.ts';
export * from '../nn/sub-grids.ts';
