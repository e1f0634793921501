import { describe, expect, test } from 'vitest';
import { randomWeights, tinyCard, tinySpec } from '../../test/support/tiny-checkpoint.ts';
import type { SafetensorsFile } from '../checkpoint/safetensors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { cardMetadata, GROUP_PREFIX, openSavedModel, readCard, tensorGroup } from './saved-model.ts';

const card = tinyCard();
const weights = randomWeights(card.spec, 1);
const average = randomWeights(card.spec, 2);
const prefixed = (prefix: string, tensors: TensorMap) =>
  [...tensors].map(([name, tensor]) => [prefix + name, tensor] as const);

/** As training writes it. */
const checkpoint: SafetensorsFile = {
  metadata: cardMetadata(card),
  tensors: new Map([
    ...prefixed(GROUP_PREFIX.model, weights),
    ...prefixed(GROUP_PREFIX.ema, average),
    ...prefixed(GROUP_PREFIX.expAvg, weights),
  ]),
};

test('what a checkpoint says about itself is read as it was written', () => {
  expect(readCard(checkpoint, 'file')).toEqual(card);
  const gaussian = tinyCard({ objective: { kind: 'gaussian', respacing: '250' }, classNames: ['søt "x"'] });
  expect(readCard({ ...checkpoint, metadata: cardMetadata(gaussian) }, 'file')).toEqual(gaussian);
});

test('a group of tensors is what has its prefix, without it', () => {
  const tensors = new Map([
    ['ema.a.b', weights.values().next().value!],
    ['emas', weights.values().next().value!],
  ]);
  expect([...tensorGroup(tensors, 'ema.').keys()]).toEqual(['a.b']);
});

describe('opening', () => {
  const first = [...weights.keys()][0]!;

  test('the average is preferred, the last weights can be asked for', () => {
    const saved = openSavedModel(checkpoint, 'file');
    expect(saved.source).toBe('ema');
    expect(saved.weights.get(first)).toBe(average.get(first));
    expect([...saved.weights.keys()]).toEqual([...saved.model.parameters()].map(({ name }) => name));
    expect(openSavedModel(checkpoint, 'file', 'model').weights.get(first)).toBe(weights.get(first));
  });

  test('a file of bare keys holds one set, which it may name', () => {
    const bare = { metadata: cardMetadata(card), tensors: new Map(weights) };
    expect(openSavedModel(bare, 'file').source).toBe('model');
    const named = { ...bare, metadata: { ...bare.metadata, weights: 'ema' } };
    expect(openSavedModel(named, 'file', 'model').source).toBe('ema');
  });
});

describe('errors', () => {
  test('a file of other origin', () => {
    const foreign = { ...checkpoint, metadata: { format: 'pt' } };
    expect(() => openSavedModel(foreign, 'w.safetensors')).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: its metadata says format pt, not udit-1: it does not tell which model it belongs to
        fix: use a checkpoint written by udit train]
    `);
    const silent = { ...checkpoint, metadata: {} };
    expect(() => openSavedModel(silent, 'w.safetensors')).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: its metadata says format (none), not udit-1: it does not tell which model it belongs to
        fix: use a checkpoint written by udit train]
    `);
  });

  test('metadata that is damaged', () => {
    const damaged = { ...checkpoint, metadata: { ...checkpoint.metadata, spec: '{"family"' } };
    expect(() => openSavedModel(damaged, 'w.safetensors')).toThrowErrorMatchingInlineSnapshot(
      `[CheckpointError: CheckpointError: w.safetensors: its metadata is not valid JSON]`,
    );
  });

  test('tensors of another model', () => {
    const wider = { ...checkpoint, metadata: cardMetadata({ ...card, spec: tinySpec({ numClasses: 7 }) }) };
    expect(() => openSavedModel(wider, 'w.safetensors')).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: does not fit U-DiT-XS: 258 keys match, 0 missing, 0 unexpected, 3 misshapen
        misshapen  y_embedder_1.embedding_table.weight: file [4,8], model [8,8]
                   y_embedder_2.embedding_table.weight: file [4,16], model [8,16]
                   y_embedder_3.embedding_table.weight: file [4,32], model [8,32]
        fix: the file has 3 classes: pass --num-classes 3]
    `);
  });
});
