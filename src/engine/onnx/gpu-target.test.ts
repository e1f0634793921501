import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { DISTINCT_PRESETS, tinyPreset } from '../../../test/support/tiny-presets.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { createModel } from '../../networks/registry.ts';
import { chooseSettings } from '../../tasks/sampling/settings.ts';
import { buildStepGraph } from '../../tasks/sampling/step-graph.ts';
import { denoising } from '../../tasks/training/step/denoising.ts';
import { splitForInference } from '../compile/inference.ts';
import { type Graph, graphOf } from '../graph/graph.ts';
import { cos, input, mean, sin } from '../graph/operators.ts';
import { simplify } from '../graph/rewrite.ts';
import { gradients } from '../graph/vjp.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import { lowerGraph } from './lower.ts';
import { GPU, type LowerOptions } from './lowering.ts';
import { modelValues } from './model-writer.ts';
import { ModelProtoSchema } from './schema/onnx_pb.ts';

/** Operators whose kernels WebGPU lacks or computes coarsely, and others that are newer than the opset. */
const FORBIDDEN = ['Sin', 'Cos', 'Attention', 'RotaryEmbedding', 'ScatterND', 'LpNormalization'];

/** What a lowered model would need of a device. */
function needsOf(graph: Graph, options: Omit<LowerOptions, 'features'> = {}) {
  const model = fromBinary(ModelProtoSchema, lowerGraph(graph, { features: GPU, ...options }).bytes);
  const { inputs, outputs } = modelValues(model);
  return {
    opsets: model.opsetImport.map(({ domain, version }) => [domain, Number(version)]),
    domains: [...new Set(model.graph!.node.map(({ domain }) => domain))],
    forbidden: model.graph!.node.map(({ opType }) => opType).filter((op) => FORBIDDEN.includes(op)),
    wide: [...inputs, ...outputs].filter(({ dtype }) => dtype === 'i64' || dtype === 'f64'),
  };
}

const NEEDS_OF_STANDARD_ONNX = { opsets: [['', 21]], domains: [''], forbidden: [], wide: [] };

/** The objective that a network's outputs fit. */
function objectiveOf({ config }: Denoiser) {
  return createObjective({ kind: config.learnSigma ? 'gaussian' : 'flow' });
}

describe.each(DISTINCT_PRESETS)('%s for a GPU is standard ONNX of opset 21', (name) => {
  const model = createModel(tinyPreset(name));
  const objective = objectiveOf(model);

  test('in a guided step of sampling', () => {
    const settings = chooseSettings(objective.kind, model.config, { steps: 4, cfgScale: 2 });
    const plan = planSampling(objective, settings.sampler, settings);
    const { rest } = splitForInference(buildStepGraph(model, plan, settings, 2));
    expect(needsOf(rest, { weights: { dataFile: 'weights.data' } })).toEqual(NEEDS_OF_STANDARD_ONNX);
  });

  test('in a step of training', () => {
    const { perSample } = denoising(model, objective).buildLoss(2, { training: true });
    const targets = [...model.parameters()].filter(({ frozen }) => !frozen).map(({ tensor }) => tensor);
    const named = gradients(mean(perSample), targets).map((dx, i) => [`dx${i}`, dx] as const);
    expect(needsOf(simplify(graphOf(Object.fromEntries(named))))).toEqual(NEEDS_OF_STANDARD_ONNX);
  });
});

test('sine and cosine are exact to float32 at every angle of a time', async () => {
  const angles = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 2);
  const x = input('x', [angles.length]);
  const { bytes } = lowerGraph(graphOf({ sin: sin(x), cos: cos(x) }), { features: GPU });
  const session = await cpuBackend.createSession({ bytes }, { purpose: 'training' });
  const results = await session.run(new Map([['x', hostTensor('f32', [angles.length], angles)]]));
  await session.release();
  for (const name of ['sin', 'cos'] as const) {
    const computed = results.get(name)!.data;
    const worst = Math.max(...angles.map((angle, i) => Math.abs(Number(computed[i]) - Math[name](angle))));
    expect(worst, name).toBeLessThan(2.5e-7);
  }
});

test('integers of 64 bits are fed as 32', () => {
  const labels = input('labels', [2], 'i64');
  const { bytes } = lowerGraph(graphOf({ same: labels }), { features: GPU });
  expect(modelValues(fromBinary(ModelProtoSchema, bytes))).toEqual({
    inputs: [{ name: 'labels', dtype: 'i32', shape: [2] }],
    outputs: [{ name: 'same', dtype: 'i32', shape: [2] }],
  });
});
