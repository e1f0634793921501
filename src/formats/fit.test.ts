import { describe, expect, test } from 'vitest';
import { type HostTensor, zeros } from '../core/host-tensor.ts';
import type { Shape } from '../core/shape.ts';
import { fitParameters } from './fit.ts';

const CONTEXT = { where: 'run/ckpt/0400000.safetensors', model: 'U-DiT-S' };

const tensorsOf = (shapes: Readonly<Record<string, Shape>>): Map<string, HostTensor> =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, zeros('f32', shape)]));
const expectedOf = (shapes: Readonly<Record<string, Shape>>) =>
  Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
const blocks = (count: number, prefix = ''): Record<string, Shape> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}blocks.${i}.weight`, [4, 4]]));

test('gives the very tensors, in the order of the model', () => {
  const tensors = tensorsOf({ b: [2], a: [3, 1] });
  const fitted = fitParameters(expectedOf({ a: [3, 1], b: [2] }), tensors, CONTEXT);
  expect(fitted).toHaveLength(2);
  expect(fitted[0]).toBe(tensors.get('a'));
  expect(fitted[1]).toBe(tensors.get('b'));
});

describe('misfits', () => {
  const fitting = (model: Readonly<Record<string, Shape>>, file: Readonly<Record<string, Shape>>) => () =>
    fitParameters(expectedOf(model), tensorsOf(file), CONTEXT);

  test('all three kinds appear in one error', () => {
    const model = { a: [2], b: [2, 3], c: [4], 'y_embedder_1.embedding_table.weight': [1001, 96] };
    const file = { a: [2], b: [3, 2], d: [1], 'y_embedder_1.embedding_table.weight': [11, 96] };
    expect(fitting(model, file)).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 1 key matches, 1 missing, 1 unexpected, 2 misshapen
        missing     c
        unexpected  d
        misshapen   b: file [3,2], model [2,3]
                    y_embedder_1.embedding_table.weight: file [11,96], model [1001,96]
        fix: choose the --model and options that the file was trained with instead of U-DiT-S]
    `);
  });

  test('another number of classes is recognised by the embedding tables', () => {
    const tables = (rows: number) => ({
      'x_embedder.proj.weight': [96, 4, 3, 3],
      'y_embedder_1.embedding_table.weight': [rows, 96],
      'y_embedder_2.embedding_table.weight': [rows, 192],
    });
    expect(fitting(tables(1001), tables(11))).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 1 key matches, 0 missing, 0 unexpected, 2 misshapen
        misshapen  y_embedder_1.embedding_table.weight: file [11,96], model [1001,96]
                   y_embedder_2.embedding_table.weight: file [11,192], model [1001,192]
        fix: the file has 10 classes: pass --num-classes 10]
    `);
  });

  test('a prefix before all names is recognised', () => {
    expect(fitting(blocks(2), blocks(2, 'module.'))).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 0 keys match, 2 missing, 2 unexpected, 0 misshapen
        missing     blocks.0.weight   blocks.1.weight
        unexpected  module.blocks.0.weight   module.blocks.1.weight
        fix: the names in the file begin with "module.": remove it from them]
    `);
  });

  test('another depth, with lists that are too long to show', () => {
    expect(fitting(blocks(12), blocks(4))).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 4 keys match, 8 missing, 0 unexpected, 0 misshapen
        missing  blocks.4.weight   blocks.5.weight   blocks.6.weight   blocks.7.weight   blocks.8.weight   blocks.9.weight   … and 2 more
        fix: choose the --model and options that the file was trained with instead of U-DiT-S]
    `);
  });

  test('another width', () => {
    expect(fitting({ a: [4, 4], b: [4] }, { a: [8, 8], b: [8] })).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 0 keys match, 0 missing, 0 unexpected, 2 misshapen
        misshapen  a: file [8,8], model [4,4]
                   b: file [8], model [4]
        fix: the file has another size of this model: choose its preset and options instead of U-DiT-S]
    `);
  });

  test('another kind of model', () => {
    expect(fitting({ a: [4] }, { 'layer1.weight': [4] })).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: run/ckpt/0400000.safetensors: does not fit U-DiT-S: 0 keys match, 1 missing, 1 unexpected, 0 misshapen
        missing     a
        unexpected  layer1.weight
        fix: the file belongs to another kind of model: choose the --model it was trained as]
    `);
  });
});
