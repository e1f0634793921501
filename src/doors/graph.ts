/** @file `udit/graph`: symbolic graphs, their gradients, their values in float64, and their compilation. */

export type { CompileCache } from '../engine/compile/cache.ts';
export { compileInference, type InferenceOptions } from '../engine/compile/inference.ts';
export { type CompileOptions, compileTraining } from '../engine/compile/training.ts';
export { expectAxes } from '../engine/graph/axes.ts';
export { checkGraph, type Graph, graphOf, type Leaf, leavesOf } from '../engine/graph/graph.ts';
export { keptBytes, peakLiveBytes } from '../engine/graph/liveness.ts';
export {
  type MacCounts,
  type MacEntry,
  type MacKind,
  macsOf,
  sumMacs,
  totalMacs,
} from '../engine/graph/macs.ts';
export * from '../engine/graph/operators.ts';
export { formatGraph, formatType } from '../engine/graph/print.ts';
export { bindInputs, mapGraph, simplify } from '../engine/graph/rewrite.ts';
export { type OpName, type OpParams, Tensor, type Unlabelled, withScope } from '../engine/graph/tensor.ts';
export { gradients } from '../engine/graph/vjp.ts';
export type { Pair, WindowOptions } from '../engine/graph/window.ts';
export { evaluate } from '../engine/interp/evaluate.ts';
export type { Value } from '../engine/interp/value.ts';
export type { Backend, Session } from '../engine/runtime/session.ts';
