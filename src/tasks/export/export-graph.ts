/** @file What can be exported, as graphs: the network alone, one guided step of a sampler, and all of its steps. */
import { type HostTensor, hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { SamplingPlan } from '../../diffusion/sampling-plan.ts';
import type { Graph } from '../../engine/graph/graph.ts';
import { add, constant, input, mul, reshape, sub, takeRows } from '../../engine/graph/operators.ts';
import { bindInputs } from '../../engine/graph/rewrite.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { imageShapeOf, type TraceAt } from '../../networks/trace.ts';
import type { SamplingSettings } from '../sampling/settings.ts';
import { guidedSteps } from '../sampling/settings.ts';
import { buildStepGraph } from '../sampling/step-graph.ts';

// N batch · C H W image or latent · S steps

/** The number of a step, an input of the exported graphs: 0 at the noise, S − 1 before the images. */
export const STEP_INPUT = 'step';

export interface NumberedStepOptions extends TraceAt {
  /** Is the noise of all steps fed at once, as `stepNoise` [S,N,C,H,W], instead of this step's as `noise`? */
  readonly allNoise: boolean;
}

/** The graph of {@link buildStepGraph} that knows the numbers of all steps and is told only which one it is. */
export function numberedStepGraph(
  model: Denoiser,
  plan: SamplingPlan,
  settings: SamplingSettings,
  batchSize: number,
  { allNoise, ...traceAt }: NumberedStepOptions,
): Graph {
  const graph = buildStepGraph(model, plan, settings, batchSize, traceAt);
  const row = reshape(input(STEP_INPUT, [], 'i64'), [1]);
  const rowOf = (table: Tensor, shape: Shape): Tensor => reshape(takeRows(table, row), shape);
  const values = new Map<string, Tensor>();
  for (const [name, { shape }] of plan.steps[0]!) {
    values.set(name, rowOf(constant(tableOf(plan, name)), shape));
  }
  const isGuided = guidedSteps(plan, settings);
  if (isGuided.includes(true) && isGuided.includes(false)) {
    // A step that is not guided is one of scale 1.
    const share = rowOf(constant(tensorOf('f32', [isGuided.length], isGuided.map(Number))), []);
    values.set('cfgScale', add(1, mul(share, sub(input('cfgScale', []), 1))));
  }
  if (plan.usesNoise && allNoise) {
    const shape = [batchSize, ...imageShapeOf(model.config, traceAt.size)];
    values.set('noise', rowOf(input('stepNoise', [plan.steps.length, ...shape]), shape));
  }
  return bindInputs(graph, values);
}

/** What the steps are fed under one name, a row per step. */
function tableOf({ steps }: SamplingPlan, name: string): HostTensor<'f32'> {
  const rows = steps.map((step) => step.get(name)!);
  const { shape } = rows[0]!;
  const data = new Float32Array(steps.length * sizeOf(shape));
  rows.forEach((row, i) => {
    data.set(row.data as Float32Array, i * sizeOf(shape));
  });
  return hostTensor('f32', [steps.length, ...shape], data);
}
