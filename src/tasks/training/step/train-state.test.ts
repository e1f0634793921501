import { setImmediate as nextTick } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { randomWeights, tinySpec } from '../../../../test/support/tiny-checkpoint.ts';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import type { HostTensor } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { sourceOf, type TensorSource } from '../../../core/tensor-source.ts';
import {
  parseSafetensors,
  type SafetensorsFile,
  serialiseSafetensors,
} from '../../../formats/safetensors.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import type { InitRule } from '../../../networks/nn/initialise.ts';
import { presetSpec } from '../../../networks/presets.ts';
import { createModel, type ModelSpec } from '../../../networks/registry.ts';
import { matchWeights } from '../run/initial-weights.ts';
import { TrainState } from './train-state.ts';

const model = createModel(tinySpec());
/** Its positions are frozen. */
const ditSpec = presetSpec('DiT-S/4', { width: 24, depth: 1, heads: 2, inputSize: 16, numClasses: 3 });
const dit = createModel(ditSpec);

const config = tinyConfig({
  averages: [
    { name: 'ema', kind: 'exponential', decay: 0.9, warmup: false },
    { name: 'slow', kind: 'power', relativeStd: 0.1 },
  ],
});
const initial = (of: Denoiser, seed: number): TrainState => TrainState.initial(of, seed, config);

/** As a file holds it. */
function fileOf(state: TrainState): SafetensorsFile {
  return parseSafetensors(Buffer.concat(serialiseSafetensors(state.tensors(), {})), 'file');
}

const allBuffers = ({ buffers: { parameters, slots, averages } }: TrainState): Float32Array[] => [
  parameters,
  ...averages.values(),
  ...slots.values(),
];

/** All buffers that a checkpoint holds, as one; arrays of this size are compared by their bytes. */
function bytesOf(state: TrainState): Buffer {
  return Buffer.concat(allBuffers(state).map(({ buffer }) => new Uint8Array(buffer)));
}

function scramble(state: TrainState): void {
  for (const [i, buffer] of allBuffers(state).entries()) {
    buffer.set(normal(fold(randomKey(3), i), buffer.length));
  }
}

/** A model that tells of which parameters initial values are drawn. */
function counting(spec: ModelSpec): { readonly model: Denoiser; readonly drawn: string[] } {
  const { initRule: rule } = createModel(spec);
  const drawn: string[] = [];
  const initRule: InitRule = (name, shape) => {
    drawn.push(name);
    return rule(name, shape);
  };
  return { model: Object.defineProperty(createModel(spec), 'initRule', { value: initRule }), drawn };
}

describe.each([
  ['U-DiT', tinySpec()],
  ['DiT with frozen positions', ditSpec],
])('%s', (_, spec) => {
  const trained = createModel(spec);
  const saved = initial(trained, 1);
  scramble(saved);
  const { tensors } = fileOf(saved);

  test('what was saved is restored, to the bit', async () => {
    const restored = await TrainState.restored(sourceOf(tensors), 'file', trained, config);
    expect(bytesOf(restored).equals(bytesOf(saved))).toBe(true);
    expect([...fileOf(restored).tensors]).toEqual([...tensors]);
  });

  test('restoring draws nothing, and has one tensor of the file in memory at a time', async () => {
    const { model: counted, drawn } = counting(spec);
    let [reading, most] = [0, 0];
    const read: string[] = [];
    const source: TensorSource = {
      infos: tensors,
      read: async (name) => {
        most = Math.max(most, ++reading);
        await nextTick();
        read.push(name);
        reading--;
        return tensors.get(name)!;
      },
    };
    await TrainState.restored(source, 'file', counted, config);
    expect(drawn).toEqual([]);
    expect(most).toBe(1);
    // Frozen parameters are in each set of weights, and read once.
    const frozen = [...trained.parameters()].filter((parameter) => parameter.frozen);
    expect(new Set(read).size).toBe(read.length);
    expect(read).toHaveLength(tensors.size - 2 * frozen.length);
  });

  test('a checkpoint is written from the buffers themselves', () => {
    const buffers = new Set(allBuffers(saved).map(({ buffer }) => buffer));
    const frozen = [...trained.parameters()].filter((parameter) => parameter.frozen).length;
    const [, ...chunks] = serialiseSafetensors(saved.tensors(), {});
    expect(chunks.filter(({ buffer }) => !buffers.has(buffer as ArrayBuffer))).toHaveLength(3 * frozen);
  });
});

test('frozen positions are those of the checkpoint', async () => {
  const { tensors } = fileOf(initial(dit, 1));
  const positions = tensors.get('model.pos_embed') as HostTensor<'f32'>;
  const other = { ...positions, data: positions.data.map((value) => value + 1) };
  const source = sourceOf(new Map([...tensors, ['model.pos_embed', other]]));
  const restored = await TrainState.restored(source, 'file', dit, config);
  expect(restored.weights('ema').get('pos_embed')).toEqual(other);
});

test('initial values depend on the seed alone', () => {
  const [one, again, other] = [1, 1, 2].map((seed) => bytesOf(initial(model, seed)));
  expect(again!.equals(one!)).toBe(true);
  expect(other!.equals(one!)).toBe(false);
});

test('weights share memory with the state and hold frozen parameters too', () => {
  const state = initial(dit, 1);
  const weights = state.weights('model');
  expect([...weights.keys()].sort()).toEqual([...dit.parameters()].map(({ name }) => name).sort());
  state.buffers.parameters.fill(7);
  expect(weights.get('x_embedder.proj.bias')!.data[0]).toBe(7);
  expect(weights.get('pos_embed')!.data).not.toContain(7);
});

describe('weights of another model', () => {
  const otherSpec = tinySpec({ numClasses: 5, depth: [1, 1, 2, 1, 1] });
  const other = createModel(otherSpec);
  const given = randomWeights(tinySpec(), 4);

  test('are taken over as far as there are any, as parameters and as averages; the rest alone is drawn', async () => {
    const scratch = initial(other, 1).weights('model');
    const { model: counted, drawn } = counting(otherSpec);
    const forData = createModel(tinySpec({ numClasses: 5 }));
    const { taken, fresh } = matchWeights(other, given, 'file', { forData });
    const state = await TrainState.startingFrom(sourceOf(given), taken, counted, 1, config);
    const isFresh = (name: string) => name.startsWith('latent.1.') || name.includes('embedding_table');
    expect(fresh).toEqual([...scratch.keys()].filter(isFresh));
    expect(drawn).toEqual(fresh);
    for (const set of ['model', 'ema', 'slow']) {
      for (const [name, { data }] of state.weights(set)) {
        expect(data).toEqual((isFresh(name) ? scratch : given).get(name)!.data);
      }
    }
  });

  test('bring the frozen positions that they were trained with', async () => {
    const weights = new Map(initial(dit, 2).weights('ema'));
    const own = weights.get('pos_embed') as HostTensor<'f32'>;
    const positions = { ...own, data: own.data.map((value) => value + 1) };
    weights.set('pos_embed', positions);
    const { taken } = matchWeights(dit, weights, 'file');
    const state = await TrainState.startingFrom(sourceOf(weights), taken, dit, 1, config);
    for (const set of ['model', 'ema'] as const)
      expect(state.weights(set).get('pos_embed')).toEqual(positions);
  });

  test('leave frozen positions of another size as they are', () => {
    const larger = createModel(
      presetSpec('DiT-S/4', { width: 24, depth: 1, heads: 2, inputSize: 32, numClasses: 3 }),
    );
    const { taken, fresh } = matchWeights(larger, initial(dit, 2).weights('ema'), 'file');
    expect(fresh).toEqual([]);
    expect(taken).not.toContain('pos_embed');
    expect(taken).toContain('x_embedder.proj.weight');
  });

  test('begin the layers anew that meet other channels of the data, and no others', () => {
    const ofLatents = { inChannels: 4, learnSigma: true };
    const forData = createModel(tinySpec(ofLatents));
    expect(matchWeights(forData, given, 'file', { forData }).fresh).toEqual([
      'x_embedder.proj.weight',
      'final_layer.out_proj.weight',
      'final_layer.out_proj.bias',
    ]);
    const wider = createModel(tinySpec({ ...ofLatents, width: 16 }));
    expect(() => matchWeights(wider, given, 'file', { forData })).toThrow(/\d+ misshapen/);
  });

  test('with layers that this model has not are refused', () => {
    const deeper = randomWeights(tinySpec({ depth: [1, 1, 2, 1, 1] }), 4);
    expect(() => matchWeights(model, deeper, 'file')).toThrow(/0 missing, \d+ unexpected, 0 misshapen/);
  });
});

describe('a checkpoint that does not fit is not read', () => {
  const restoring = ({ tensors }: SafetensorsFile) => {
    const read = () => expect.fail('a tensor was read');
    const where = 'runs/a/checkpoints/step-0000010.safetensors';
    return TrainState.restored({ infos: tensors, read }, where, model, config);
  };

  test('of another width', async () => {
    const wider = createModel(tinySpec({ width: 16 }));
    await expect(restoring(fileOf(initial(wider, 1)))).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: runs/a/checkpoints/step-0000010.safetensors (model): does not fit the model of this run: 11 keys match, 0 missing, 0 unexpected, 250 misshapen
        misshapen  x_embedder.proj.weight: file [16,3,3,3], model [8,3,3,3]
                   x_embedder.proj.bias: file [16], model [8]
                   t_embedder_1.mlp.0.weight: file [16,256], model [8,256]
                   t_embedder_1.mlp.0.bias: file [16], model [8]
                   t_embedder_1.mlp.2.weight: file [16,16], model [8,8]
                   t_embedder_1.mlp.2.bias: file [16], model [8]
                   … and 244 more
        fix: the file has another size of this model: choose its preset and options instead of the model of this run]
    `);
  });

  test('without the moments, as a model that is not for training', async () => {
    const { tensors, metadata } = fileOf(initial(model, 1));
    const weights = [...tensors].filter(([name]) => !name.startsWith('optimizer.'));
    await expect(
      restoring({ tensors: new Map(weights), metadata }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: runs/a/checkpoints/step-0000010.safetensors (optimizer.exp_avg): does not fit the model of this run: 0 keys match, 261 missing, 0 unexpected, 0 misshapen
        missing  x_embedder.proj.weight   x_embedder.proj.bias   t_embedder_1.mlp.0.weight   t_embedder_1.mlp.0.bias   t_embedder_1.mlp.2.weight   t_embedder_1.mlp.2.bias   … and 255 more
        fix: the file belongs to another kind of model: choose the --model it was trained as]
    `);
  });
});
