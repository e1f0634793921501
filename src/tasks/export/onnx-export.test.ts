/** Every part of every family as ONNX: standard operators, and the values of the live model and of float64. */
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { randomWeights, tinyCard, tinyDiTSpec, tinySpec } from '../../../test/support/tiny-checkpoint.ts';
import { type HostTensor, type TensorMap, tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { embedValues } from '../../engine/onnx/embed-values.ts';
import { serialiseModel } from '../../engine/onnx/model-writer.ts';
import { type GraphProto, ModelProtoSchema, type NodeProto } from '../../engine/onnx/schema/onnx_pb.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import type { ModelCard } from '../../models/saved-model.ts';
import type { Precision } from '../../networks/precision.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import type { RequestedSettings } from '../sampling/settings.ts';
import { type CheckOptions, checkExport } from './export-check.ts';
import {
  type ExportedModel,
  type ExportedPart,
  exportOnnx,
  exportWeights,
  type OnnxExportOptions,
  serialiseExport,
} from './onnx-export.ts';

const DIT: ModelSpec = presetSpec('DiT-S/2', { inputSize: 8, width: 8, depth: 2, heads: 2, numClasses: 3 });
const GAUSSIAN: ModelCard['objective'] = { kind: 'gaussian', variance: 'fixed-large' };

type TinyModel = ExportedModel & { readonly weights: TensorMap };

function saved(spec: ModelSpec = tinySpec(), objective = tinyCard().objective, seed = 1): TinyModel {
  const card = tinyCard({ name: 'tiny', spec, objective });
  return { card, network: createModel(spec), weights: randomWeights(spec, seed), source: 'ema' };
}

async function exported(
  model: ExportedModel,
  what: ExportedPart,
  settings: RequestedSettings = {},
  options: Pick<OnnxExportOptions, 'batchSize' | 'precision' | 'opset'> = {},
) {
  const file = exportOnnx(model, { what, settings, ...options });
  const bytes = await serialiseExport(file, model.weights, cpuBackend);
  const session = await cpuBackend.createSession({ bytes }, { purpose: 'inference' });
  return { file, session, proto: fromBinary(ModelProtoSchema, bytes) };
}

/** Nodes, also inside loops. */
function nodesOf({ node }: GraphProto): NodeProto[] {
  const bodies = node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => g ?? []));
  return [...node, ...bodies.flatMap(nodesOf)];
}

const domainsOf = (graph: GraphProto) => new Set(nodesOf(graph).map(({ domain }) => domain));
const operatorsOf = (graph: GraphProto) => new Set(nodesOf(graph).map(({ opType }) => opType));

interface Case {
  readonly name: string;
  readonly model: ExportedModel;
  readonly settings: RequestedSettings;
}

/** Each family and form of attention once; samplers and objectives on the network that compiles fastest. */
const CASES: readonly Case[] = [
  { name: 'U-DiT, flow', model: saved(), settings: { steps: 3 } },
  { name: 'DiT, flow by euler', model: saved(tinyDiTSpec()), settings: { sampler: 'euler', steps: 2 } },
  {
    name: 'DiT, flow guided at some steps, with noise',
    model: saved(tinyDiTSpec()),
    settings: { sampler: 'dpm++2m-sde', steps: 4, cfgInterval: [0.2, 0.8] },
  },
  {
    name: 'DiT, flow by heun without guidance',
    model: saved(tinyDiTSpec()),
    settings: { sampler: 'heun', steps: 2, cfgScale: 1 },
  },
  {
    name: 'U-DiT, dot attention, no positions',
    model: saved(tinySpec({ attention: 'dot', position: 'none', ffn: 'basic', downFactor: 1 })),
    settings: { steps: 2 },
  },
  { name: 'DiT, ddpm', model: saved(tinyDiTSpec(), GAUSSIAN), settings: { steps: 3, clip: true } },
  {
    name: 'DiT, ddim with noise, learned variance',
    model: saved(DIT, { kind: 'gaussian' }),
    settings: { sampler: 'ddim', steps: 'ddim2', eta: 0.5 },
  },
  {
    name: 'DiT, ddim',
    model: saved(DIT, { kind: 'gaussian' }),
    settings: { sampler: 'ddim', steps: 3, cfgChannels: 'all' },
  },
];

describe.each(CASES)('$name', ({ model, settings }) => {
  test.each(['denoiser', 'guided-step', 'sampler'] as const)('%s', async (what) => {
    const { file, session, proto } = await exported(model, what, settings);
    const { graph, opsetImport } = proto;
    expect([...domainsOf(graph!)]).toEqual(['']);
    expect(opsetImport.map(({ domain, version }) => ({ domain, version }))).toEqual([
      { domain: '', version: 23n },
    ]);
    const { relativeL2, batchSizes } = await checkExport(model, file, session, { backend: cpuBackend });
    await session.release();
    expect(batchSizes).toEqual([1, 3]);
    expect(relativeL2).toBeLessThan(what === 'sampler' ? 2e-5 : 4e-6);
  });
});

/** Operators that came after opset 17; others that are used here gained nothing since. */
const NEWER = new Set(['Attention', 'Gelu', 'RotaryEmbedding']);

describe('for older runtimes', () => {
  const llama = presetSpec('DiT-LLaMA-B/4', { inputSize: 8, width: 16, depth: 2, heads: 2, numClasses: 3 });
  const ditLlama = saved(llama, { kind: 'gaussian' });

  test.each<Case & { readonly what: ExportedPart; readonly precision: Precision }>([
    { name: 'U-DiT', model: saved(), what: 'denoiser', settings: {}, precision: 'f32' },
    { name: 'U-DiT', model: saved(), what: 'denoiser', settings: {}, precision: 'int8' },
    {
      name: 'DiT',
      model: saved(DIT, { kind: 'gaussian' }),
      what: 'sampler',
      settings: { steps: 2 },
      precision: 'f32',
    },
    { name: 'DiT-LLaMA', model: ditLlama, what: 'denoiser', settings: {}, precision: 'f32' },
  ])('$name, its $what in $precision', async ({ model, what, settings, precision }) => {
    const { file, session, proto } = await exported(model, what, settings, { opset: 17, precision });
    const { relativeL2, batchSizes } = await checkExport(model, file, session, { backend: cpuBackend });
    await session.release();
    expect(batchSizes).toEqual([1, 3]);
    if (precision === 'f32') expect(relativeL2).toBeLessThan(what === 'sampler' ? 2e-5 : 4e-6);
    expect([file.opset, proto.irVersion]).toEqual([17, 8n]);
    expect(proto.opsetImport.map(({ domain, version }) => [domain, version])).toEqual([['', 17n]]);
    expect([...operatorsOf(proto.graph!)].filter((operator) => NEWER.has(operator))).toEqual([]);
  });

  test('other opsets are refused', () => {
    const options = { what: 'denoiser', opset: 18 } as const;
    expect(() => exportOnnx(saved(), options)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: exportOnnx: opset 18 is not written
        fix: use opset 17 or 23: newer runtimes read both]
    `);
  });
});

interface QuantisedLayer {
  /** Names of its initialisers. */
  readonly weight: string;
  readonly scales: string;
}

/** The layers in int8, in their order, also inside loops: their sums are multiplied by scale · scales. */
function quantisedLayers({ node }: GraphProto): QuantisedLayer[] {
  const own = node.flatMap(({ opType, input, output }) => {
    if (opType !== 'MatMulInteger') return [];
    const cast = node.find((reader) => reader.input[0] === output[0])!;
    const product = node.find((reader) => reader.input[0] === cast.output[0])!;
    const scale = node.find((writer) => writer.output[0] === product.input[1])!;
    return [{ weight: input[1]!, scales: scale.input[1]! }];
  });
  const bodies = node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => g ?? []));
  return [...own, ...bodies.flatMap(quantisedLayers)];
}

/** A layer whose faults show: those of some change what is drawn by less than int8 does. */
const IN_INT8: readonly (readonly [ExportedPart, TinyModel, visibleLayer: number])[] = [
  ['denoiser', saved(), 33],
  ['guided-step', saved(tinyDiTSpec()), 4],
  ['sampler', saved(tinyDiTSpec()), 4],
];

/** Twice as large. */
function doubled(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(new Float32Array(bytes.slice().buffer).map((scale) => 2 * scale).buffer);
}

/** Each value in the place of the one before. */
function shifted(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes, (_, i) => bytes[(i + 1) % bytes.length]!);
}

describe.each(IN_INT8)('%s in int8', (what, model, visibleLayer) => {
  test('is as far from float32 as the live model in int8', async () => {
    const { file, session, proto } = await exported(model, what, { steps: 3 }, { precision: 'int8' });
    expect([...domainsOf(proto.graph!)]).toEqual(['']);
    const { relativeL2, live, tolerance } = await checkExport(model, file, session, { backend: cpuBackend });
    await session.release();
    expect(live).toMatchObject({ precision: 'int8', factor: what === 'sampler' ? 2.5 : 1.1 });
    expect(tolerance).toBe(live!.factor * live!.relativeL2 + (what === 'sampler' ? 1e-3 : 2e-5));
    expect(live!.relativeL2).toBeGreaterThan(1e-3);
    expect(live!.relativeL2).toBeLessThan(1e-1);
    expect(Math.abs(relativeL2 / live!.relativeL2 - 1)).toBeLessThan(0.1);
  });

  test.each([
    ['scales', doubled],
    ['weight', shifted],
  ] as const)('is refused with wrong %s of one layer', async (part, damage) => {
    const file = exportOnnx(model, { what, settings: { steps: 3 }, precision: 'int8' });
    const values = new Map<string, Uint8Array>();
    await exportWeights(file, model.weights, cpuBackend, (bytes, { name }) => void values.set(name, bytes));
    const damaged = quantisedLayers(file.model.proto.graph!)[visibleLayer]![part];
    values.set(damaged, damage(values.get(damaged)!));
    const bytes = serialiseModel(embedValues(file.model.proto, values));
    const session = await cpuBackend.createSession({ bytes }, { purpose: 'inference' });
    const checking = checkExport(model, file, session, { backend: cpuBackend });
    await expect(checking).rejects.toThrow(/other values than the live one .*\n.*\n {2}live model in int8/);
    await session.release();
  });
});

test('a file in int8 is not taken for the model in float32', async () => {
  const model = saved();
  const { file, session } = await exported(model, 'denoiser', {}, { precision: 'int8' });
  const checking = checkExport(model, { ...file, precision: 'f32' }, session, { backend: cpuBackend });
  await expect(checking).rejects.toThrow('other values than the live one');
  await session.release();
});

test.each([
  ['U-DiT', saved()],
  ['DiT', saved(DIT, { kind: 'gaussian' })],
])('the denoiser of %s computes what float64 does with branches as trained', async (_, model) => {
  const { inChannels } = model.network.config;
  const feeds = new Map<string, HostTensor>([
    ['x', tensorOf('f32', [2, inChannels, 8, 8], normal(randomKey(3), 2 * inChannels * 64))],
    ['t', tensorOf('f32', [2], [20, 700])],
    ['y', tensorOf('i64', [2], [3, 1])],
  ]);
  const { session } = await exported(model, 'denoiser');
  const { prediction } = Object.fromEntries(await session.run(feeds));
  await session.release();

  const condition = { t: input('t', [2]), y: input('y', [2], 'i64') };
  const x = input('x', [2, inChannels, 8, 8]);
  const graph = graphOf({ prediction: model.network.apply(x, condition, { form: 'branches' }) });
  const expected = evaluate(graph, new Map([...feeds, ...model.weights])).get('prediction')!;
  expect(prediction!.shape).toEqual(expected.shape);
  expectClose(toNumbers(prediction!), expected.data, { relative: 2e-5 });
});

test('a file for one batch size, and what it says of itself', async () => {
  const { file, session, proto } = await exported(
    saved(),
    'guided-step',
    { steps: 4, cfgScale: 2 },
    { batchSize: 2 },
  );
  expect(file.inputs.map(({ name, dtype, shape }) => `${name} ${dtype}[${shape}]`)).toEqual([
    'x f32[2,3,8,8]',
    'labels i64[2]',
    'cfgScale f32[]',
    'previousX0 f32[2,3,8,8]',
    'step i64[]',
  ]);
  expect(await checkExport(saved(), file, session, { backend: cpuBackend })).toMatchObject({
    batchSizes: [2],
  });
  await session.release();
  const { spec, ...metadata } = Object.fromEntries(proto.metadataProps.map(({ key, value }) => [key, value]));
  expect(JSON.parse(spec!)).toEqual(tinySpec());
  expect(metadata).toMatchInlineSnapshot(`
    {
      "class_names": "["Red Fox","Owl","Newt"]",
      "format": "udit-onnx-1",
      "name": "tiny",
      "nimg": "640",
      "objective": "{"kind":"flow","timeScale":1000}",
      "precision": "f32",
      "sampler": "{"sampler":"dpm++2m","steps":4,"cfgScale":2,"cfgChannels":3,"shift":3,"stepCount":4,"memory":["previousX0"]}",
      "step": "20",
      "weights": "ema",
      "what": "guided-step",
    }
  `);
});

test('the sampler is guided as the model suggests, unless something else is asked for', () => {
  const model = saved();
  const suggesting = { ...model, card: { ...model.card, guidance: { cfgInterval: [0.2, 0.8] as const } } };
  const intervalOf = (settings: RequestedSettings) => {
    const { metadataProps } = exportOnnx(suggesting, { what: 'sampler', settings }).model.proto;
    return JSON.parse(metadataProps.find(({ key }) => key === 'sampler')!.value).cfgInterval;
  };
  expect(intervalOf({ steps: 4 })).toEqual([0.2, 0.8]);
  expect(intervalOf({ steps: 4, cfgScale: 2 })).toBeUndefined();
});

test('a file of other weights is found out', async () => {
  const { file, session } = await exported(saved(), 'denoiser');
  const other = saved(undefined, undefined, 2);
  const options: CheckOptions = { backend: cpuBackend };
  const error = await checkExport(other, file, session, options).catch((reason: Error) => reason.message);
  await session.release();
  expect(String(error).replaceAll(/\d\.\de[+-]\d+/g, '#')).toMatchInlineSnapshot(`
    "NumericsError: export: the exported model gives other values than the live one in float32: relative L2 #, allowed #
      largest difference  #
      fix: report this with the checkpoint; nothing was written"
  `);
});

test('values that are no numbers are found out', async () => {
  const model = saved();
  const broken = new Map(model.weights);
  const { shape } = broken.get('output.weight')!;
  const nan = new Array<number>(shape.reduce((size, length) => size * length, 1)).fill(Number.NaN);
  broken.set('output.weight', tensorOf('f32', shape, nan));
  const { file, session } = await exported({ ...model, weights: broken }, 'denoiser');
  await expect(checkExport(model, file, session, { backend: cpuBackend })).rejects.toThrow(
    /relative L2 NaN|relative L2 Infinity/,
  );
  await session.release();
});
