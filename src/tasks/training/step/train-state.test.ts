import { describe, expect, test } from 'vitest';
import { randomWeights, tinySpec } from '../../../../test/support/tiny-checkpoint.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import {
  parseSafetensors,
  type SafetensorsFile,
  serialiseSafetensors,
} from '../../../formats/safetensors.ts';
import { presetSpec } from '../../../networks/presets.ts';
import { createModel } from '../../../networks/registry.ts';
import { matchWeights } from '../run/initial-weights.ts';
import { TrainState } from './train-state.ts';

const model = createModel(tinySpec());
/** Its positions are frozen. */
const dit = createModel(
  presetSpec('DiT-S/4', { width: 24, depth: 1, heads: 2, inputSize: 16, numClasses: 3 }),
);

/** As a file holds it. */
function fileOf(state: TrainState): SafetensorsFile {
  return parseSafetensors(Buffer.concat(serialiseSafetensors(state.tensors(), {})), 'file');
}

/** All buffers that a checkpoint holds, as one; arrays of this size are compared by their bytes. */
function bytesOf({ buffers: { parameters, ema, expAvg, expAvgSq } }: TrainState): Buffer {
  return Buffer.concat([parameters, ema, expAvg, expAvgSq].map(({ buffer }) => new Uint8Array(buffer)));
}

function scramble({ buffers }: TrainState): void {
  for (const [i, name] of (['parameters', 'ema', 'expAvg', 'expAvgSq'] as const).entries()) {
    buffers[name].set(normal(fold(randomKey(3), i), buffers[name].length));
  }
}

test.each([
  ['U-DiT', model],
  ['DiT with frozen positions', dit],
])('%s: what was saved is restored, to the bit', (_, trained) => {
  const saved = TrainState.initial(trained, 1);
  scramble(saved);
  const restored = TrainState.initial(trained, 2);
  expect(bytesOf(restored).equals(bytesOf(saved))).toBe(false);
  restored.restore(fileOf(saved), 'file', trained);
  expect(bytesOf(restored).equals(bytesOf(saved))).toBe(true);
  expect([...fileOf(restored).tensors.keys()]).toEqual([...fileOf(saved).tensors.keys()]);
});

test('initial values depend on the seed alone', () => {
  const [one, again, other] = [1, 1, 2].map((seed) => bytesOf(TrainState.initial(model, seed)));
  expect(again!.equals(one!)).toBe(true);
  expect(other!.equals(one!)).toBe(false);
});

test('weights share memory with the state and hold frozen parameters too', () => {
  const state = TrainState.initial(dit, 1);
  const weights = state.weights('model');
  expect([...weights.keys()].sort()).toEqual([...dit.parameters()].map(({ name }) => name).sort());
  state.buffers.parameters.fill(7);
  expect(weights.get('x_embedder.proj.bias')!.data[0]).toBe(7);
  expect(weights.get('pos_embed')!.data).not.toContain(7);
});

describe('weights of another model', () => {
  const other = createModel(tinySpec({ numClasses: 5, depth: [1, 1, 2, 1, 1] }));
  const given = randomWeights(tinySpec(), 4);

  test('are taken over as far as there are any, as parameters and as average', () => {
    const scratch = TrainState.initial(other, 1).weights('model');
    const state = TrainState.initial(other, 1);
    const { taken, fresh } = matchWeights(other, given, 'file');
    state.startFrom(new Map(taken.map((name) => [name, given.get(name)!])));
    const isFresh = (name: string) => name.startsWith('latent.1.') || name.includes('embedding_table');
    expect(fresh).toEqual([...scratch.keys()].filter(isFresh));
    for (const set of ['model', 'ema'] as const) {
      for (const [name, { data }] of state.weights(set)) {
        expect(data).toEqual((isFresh(name) ? scratch : given).get(name)!.data);
      }
    }
  });

  test('leave frozen positions as they are', () => {
    const larger = createModel(
      presetSpec('DiT-S/4', { width: 24, depth: 1, heads: 2, inputSize: 32, numClasses: 3 }),
    );
    const { taken, fresh } = matchWeights(larger, TrainState.initial(dit, 2).weights('ema'), 'file');
    expect(fresh).toEqual([]);
    expect(taken).not.toContain('pos_embed');
    expect(taken).toContain('x_embedder.proj.weight');
  });

  test('with layers that this model has not are refused', () => {
    const deeper = randomWeights(tinySpec({ depth: [1, 1, 2, 1, 1] }), 4);
    expect(() => matchWeights(model, deeper, 'file')).toThrow(/0 missing, \d+ unexpected, 0 misshapen/);
  });
});

describe('a checkpoint that does not fit', () => {
  const restoring = (file: SafetensorsFile) => {
    const state = TrainState.initial(model, 2);
    const before = bytesOf(state);
    const restore = () => state.restore(file, 'runs/a/checkpoints/step-0000010.safetensors', model);
    return { restore, expectUnchanged: () => expect(bytesOf(state).equals(before)).toBe(true) };
  };

  test('of another width', () => {
    const wider = createModel(tinySpec({ width: 16 }));
    const { restore, expectUnchanged } = restoring(fileOf(TrainState.initial(wider, 1)));
    expect(restore).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: runs/a/checkpoints/step-0000010.safetensors (model): does not fit the model of this run: 11 keys match, 0 missing, 0 unexpected, 250 misshapen
        misshapen  x_embedder.proj.weight: file [16,3,3,3], model [8,3,3,3]
                   x_embedder.proj.bias: file [16], model [8]
                   t_embedder_1.mlp.0.weight: file [16,256], model [8,256]
                   t_embedder_1.mlp.0.bias: file [16], model [8]
                   t_embedder_1.mlp.2.weight: file [16,16], model [8,8]
                   t_embedder_1.mlp.2.bias: file [16], model [8]
                   … and 244 more
        fix: the file is another size of this model: choose the preset and options it was trained with instead of the model of this run]
    `);
    expectUnchanged();
  });

  test('without the moments, as a model that is not for training', () => {
    const { tensors, metadata } = fileOf(TrainState.initial(model, 1));
    const weights = [...tensors].filter(([name]) => !name.startsWith('optimizer.'));
    const { restore, expectUnchanged } = restoring({ tensors: new Map(weights), metadata });
    expect(restore).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: runs/a/checkpoints/step-0000010.safetensors (expAvg): does not fit the model of this run: 0 keys match, 261 missing, 0 unexpected, 0 misshapen
        missing  x_embedder.proj.weight   x_embedder.proj.bias   t_embedder_1.mlp.0.weight   t_embedder_1.mlp.0.bias   t_embedder_1.mlp.2.weight   t_embedder_1.mlp.2.bias   … and 255 more
        fix: the file belongs to another kind of model: choose the --model it was trained as]
    `);
    expectUnchanged();
  });
});
