/** @file Networks that are no denoisers go through the doors of those that are: trained, saved, opened, compiled, exported. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostTensor, hostTensor, type TensorMap } from '../src/core/host-tensor.ts';
import { fold, normal, randomKey } from '../src/core/random.ts';
import { sizeOf } from '../src/core/shape.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { compileTraining } from '../src/engine/compile/training.ts';
import { graphOf, leavesOf } from '../src/engine/graph/graph.ts';
import { input, mean, square, sub } from '../src/engine/graph/operators.ts';
import type { Unlabelled } from '../src/engine/graph/tensor.ts';
import { gradients } from '../src/engine/graph/vjp.ts';
import { evaluate } from '../src/engine/interp/evaluate.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { wasmBackend } from '../src/engine/runtime/wasm-web.ts';
import { openModel } from '../src/models/open-node.ts';
import type { NetworkCard, SavedNetwork } from '../src/models/saved-model.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import type { Network } from '../src/networks/nn/network.ts';
import { traceNetwork } from '../src/networks/trace.ts';
import { writeOnnxExport } from '../src/tasks/export/export-file-node.ts';
import { inspectNetwork } from '../src/tasks/inspection/inspect.ts';
import {
  createOptimizer,
  OPTIMIZER_DEFAULTS,
  type OptimizerConfig,
} from '../src/tasks/training/optim/optimizers.ts';
import { ParameterLayout } from '../src/tasks/training/optim/parameter-buffers.ts';
import { expectClose } from './support/closeness.ts';
import { SMALL_FAMILIES, SmallAutoencoder, SmallClassifier } from './support/small-networks.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-networks-'));
});
afterAll(() => rm(root, { recursive: true }));

const ADAMW = {
  ...{ kind: 'adamw', learningRate: 0.01, schedule: 'constant', warmupSteps: 0, clipNorm: null },
  ...OPTIMIZER_DEFAULTS.adamw,
} as OptimizerConfig;
const BATCH = 2;
const SIZE = { height: 8, width: 8 };
const draw = (name: string, shape: readonly number[]) =>
  hostTensor('f32', shape, normal(fold(randomKey(8), name), sizeOf(shape)));

interface Case {
  readonly network: Network;
  readonly card: NetworkCard;
  /** Of what the network makes of `x` and, for scores, `target`. */
  readonly loss: () => Unlabelled;
}

const x = input('x', [BATCH, 3, 8, 8]);
const autoencoder = new SmallAutoencoder({
  ...{ inputSize: 8, inChannels: 3, width: 4, latentChannels: 2, factor: 4 },
});
const classifier = new SmallClassifier({ inputSize: 8, inChannels: 3, width: 4, classes: 5 });

const CASES: Readonly<Record<'autoencoder' | 'features', Case>> = {
  autoencoder: {
    network: autoencoder,
    card: {
      role: 'autoencoder',
      name: 'small',
      spec: { family: 'Small autoencoder', config: autoencoder.config },
      space: { kind: 'latents', autoencoder: 'small', factor: 4, scale: 1, shift: 0 },
      ...{ step: 3, nimg: 6 },
    },
    loss: () => mean(square(sub(autoencoder.forward(x), x))),
  },
  features: {
    network: classifier,
    card: {
      role: 'features',
      name: 'small',
      spec: { family: 'Small classifier', config: classifier.config },
      ...{ step: 3, nimg: 6 },
    },
    loss: () => mean(square(sub(classifier.forward(x), input('target', [BATCH, 5])))),
  },
};

describe.each(Object.entries(CASES))('%s', (role, { network, card, loss }) => {
  const parameters = [...network.parameters()];
  const traced = loss();
  const derivatives = gradients(
    traced,
    parameters.map(({ tensor }) => tensor),
  );
  const named = parameters.map(({ name }, i) => [`d ${name}`, derivatives[i]!] as const);
  const graph = graphOf({ loss: traced, ...Object.fromEntries(named) });
  const feeds = new Map<string, HostTensor>([
    ['x', draw('x', [BATCH, 3, 8, 8])],
    ['target', draw('target', [BATCH, 5])],
  ]);
  const initial = initialise(network, network.initRule, randomKey(4));
  const path = () => join(root, `${role}.safetensors`);
  let trained: TensorMap;
  let opened: SavedNetwork;

  test('has gradients that central differences agree with', () => {
    const at = (weights: TensorMap) =>
      Number(evaluate(graphOf({ loss: traced }), new Map([...weights, ...feeds])).get('loss')!.data[0]);
    const found = evaluate(graph, new Map([...initial, ...feeds]));
    for (const { name, shape } of parameters) {
      const size = sizeOf(shape);
      const index = Math.floor(size / 2);
      const moved = (by: number) => {
        const data = (initial.get(name)!.data as Float32Array).slice();
        data[index]! += by;
        return at(new Map([...initial, [name, hostTensor('f32', shape, data)]]));
      };
      const step = 2 ** -10;
      const expected = (moved(step) - moved(-step)) / (2 * step);
      expect(Number(found.get(`d ${name}`)!.data[index]), name).toBeCloseTo(expected, 4);
    }
  });

  test('learns in a few steps of the optimizer, and is saved', async () => {
    const layout = new ParameterLayout(parameters);
    const buffer = new Float32Array(layout.size);
    layout.fill(buffer, initial);
    const optimizer = createOptimizer(ADAMW, 0);
    const state = {
      layout,
      parameters: buffer,
      gradients: new Float32Array(layout.size),
      slots: new Map(optimizer.slots.map((name) => [name, new Float32Array(layout.size)])),
      averages: new Map(),
    };
    const [weights, slots] = [layout.views(state.parameters), layout.views(state.gradients)];
    const session = await compileTraining(graph, cpuBackend);
    const losses: number[] = [];
    for (let step = 1; step <= 8; step++) {
      const results = await session.run(new Map([...weights, ...feeds]));
      losses.push(Number(results.get('loss')!.data[0]));
      for (const [name, slot] of slots) slot.data.set(results.get(`d ${name}`)!.data as Float32Array);
      optimizer.update(state, { step, learningRate: 0.01, gradientScale: 1, averageDecays: [] });
    }
    await session.release();
    expect(losses.at(-1)!).toBeLessThan(0.98 * losses[0]!);
    trained = new Map(
      [...weights].map(([name, { shape, data }]) => [name, hostTensor('f32', shape, data.slice())]),
    );
    await writeModel(path(), { card: card as never, weights: trained, source: 'model' });
  });

  test('is opened as what it is, and as nothing else', async () => {
    opened = await openModel(path(), { role: role as keyof typeof CASES, families: SMALL_FAMILIES });
    expect(opened.card).toEqual(card);
    expect(opened.network.constructor).toBe(network.constructor);
    expect(opened.weights).toEqual(trained);
    expect(await openModel(path()).catch(String)).toMatch(
      role === 'features'
        ? /this file is a feature network; a denoiser is needed/
        : /this file is an autoencoder; a denoiser is needed/,
    );
  });

  test('computes natively and in WebAssembly what it is, at other sizes too', async () => {
    for (const size of [SIZE, { height: 16, width: 8 }]) {
      const { inputs, outputs } = traceNetwork(opened.network as Network, { batch: BATCH, size });
      const given = new Map(Object.entries(inputs).map(([name, { shape }]) => [name, draw(name, shape)]));
      const exact = evaluate(graphOf(outputs), new Map([...opened.weights, ...given]));
      for (const backend of [cpuBackend, wasmBackend]) {
        const session = await compileInference(graphOf(outputs), opened.weights, backend);
        const found = await session.run(given);
        await session.release();
        for (const [name, { data }] of exact) {
          expectClose(Array.from(found.get(name)!.data, Number), Array.from(data, Number), {
            relative: 1e-5,
          });
        }
      }
    }
  });

  test('is inspected: its stages hold every parameter and all the work', () => {
    const { stages, parameters: counted, macs, size } = inspectNetwork(opened.network as Network);
    expect(size).toEqual(SIZE);
    expect(stages.reduce((sum, stage) => sum + stage.parameters, 0)).toBe(counted.all);
    for (const kind of ['linear', 'convolution'] as const) {
      expect(stages.reduce((sum, stage) => sum + stage.macs[kind], 0)).toBe(macs.merged[kind]);
    }
  });

  test('is exported for any number of images, and compared with the live network', async () => {
    const { agreement, exported } = await writeOnnxExport(join(root, `${role}.onnx`), opened, {
      what: 'network',
      backend: cpuBackend,
    });
    expect(agreement.batchSizes).toEqual([1, 3]);
    expect(agreement.relativeL2).toBeLessThan(agreement.tolerance);
    expect(exported.metadata.role).toBe(role);
  });
});

test('a decoder is exported alone', async () => {
  const saved = { ...CASES.autoencoder, network: autoencoder, source: 'model' } as const;
  const weights = initialise(autoencoder, autoencoder.initRule, randomKey(4));
  const { exported } = await writeOnnxExport(
    join(root, 'decoder.onnx'),
    { card: saved.card as never, network: autoencoder, source: 'model', weights },
    { what: 'network', outputs: ['images'], backend: cpuBackend, batchSize: 1 },
  );
  expect(exported.inputs.map(({ name }) => name)).toEqual(['z']);
  expect(exported.outputs.map(({ name }) => name)).toEqual(['images']);
});

test('a denoiser is none of the others', async () => {
  const path = join(root, 'denoiser.safetensors');
  await writeTinyCheckpoint(path, tinyCard());
  await expect(openModel(path, { role: 'autoencoder' })).rejects.toThrowError(
    'this file is a denoiser; an autoencoder is needed',
  );
});

test('inputs of the two halves of an autoencoder are apart', () => {
  const { outputs } = traceNetwork(autoencoder);
  const names = (output: Unlabelled) =>
    leavesOf(graphOf({ output }), 'input').map(({ params: { name } }) => name);
  expect([names(outputs.latents), names(outputs.images)]).toEqual([['x'], ['z']]);
});
