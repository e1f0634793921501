/** @file `udit/graph`: symbolic graphs, their gradients, their values in float64, and their compilation. */

export type { CompileCache } from '../compile/cache.ts';
export { compileInference, type InferenceOptions } from '../compile/inference.ts';
export { type CompileOptions, compileTraining } from '../compile/training.ts';
export { expectAxes } from '../graph/axes.ts';
export { checkGraph, type Graph, graphOf, type Leaf, leavesOf } from '../graph/graph.ts';
export { keptBytes, peakLiveBytes } from '../graph/liveness.ts';
export { type MacCounts, type MacEntry, type MacKind, macsOf, sumMacs, totalMacs } from '../graph/macs.ts';
export * from '../graph/operators.ts';
export { formatGraph, formatType } from '../graph/print.ts';
export { bindInputs, mapGraph, simplify } from '../graph/rewrite.ts';
export { type OpName, type OpParams, Tensor, type Unlabelled, withScope } from '../graph/tensor.ts';
export { gradients } from '../graph/vjp.ts';
export { evaluate } from '../interp/evaluate.ts';
export type { Value } from '../interp/value.ts';
export type { Backend, Session } from '../runtime/session.ts';
