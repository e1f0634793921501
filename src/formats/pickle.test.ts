import { describe, expect, test } from 'vitest';
import { type Bytes, int32, joinBytes, op, pickleOf } from '../../test/support/torch-writer.ts';
import { CheckpointError } from '../core/errors.ts';
import { PickleGlobal, type PickleHost, PickleRecord, type PickleValue, unpickle } from './pickle.ts';

const host: PickleHost = {
  global: (name) => {
    if (name === 'test.record') return new PickleGlobal(name, () => new PickleRecord(name));
    if (name === 'test.sum') return new PickleGlobal(name, ([a, b]) => Number(a) + Number(b));
    if (name === 'test.value') return new PickleGlobal(name);
    throw new CheckpointError({ where: 'x.pt', problem: `no ${name}` });
  },
  persistent: (id) => ['outside', id],
};

const read = (...instructions: readonly Bytes[]): PickleValue =>
  unpickle(pickleOf(...instructions), host, 'x.pt')!.value;
const reading =
  (...instructions: readonly Bytes[]) =>
  () =>
    read(...instructions);

/** A tuple of what each of the instructions leaves. */
const tuple = (...items: readonly Bytes[]): Uint8Array => joinBytes(op.mark, ...items, op.tuple);

describe('plain values', () => {
  test.each<[string, Bytes, PickleValue]>([
    ['None', op.none, null],
    ['True', op.yes, true],
    ['False', op.no, false],
    ['one byte', [0x4b, 255], 255],
    ['two bytes', [0x4d, 0x01, 0x80], 0x8001],
    ['four bytes', op.int(-7), -7],
    ['a long 0', [0x8a, 0], 0],
    ['a long', [0x8a, 6, 0, 0, 0, 0, 0, 1], 2 ** 40],
    ['a negative long', [0x8a, 2, 0x00, 0xff], -256],
    ['beyond 2^53', [0x8a, 7, 1, 0, 0, 0, 0, 0, 0x20], 2n ** 53n + 1n],
    ['a long with its length in four bytes', joinBytes([0x8b], int32(1), [0x80]), -128],
    ['a float', op.float(0.1), 0.1],
    ['text', op.text('blöcke'), 'blöcke'],
    ['short text', [0x8c, 2, 0xc3, 0xb6], 'ö'],
    ['text with its length in eight bytes', [0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0x61], 'a'],
    ['text of Python 2', [0x55, 2, 0x61, 0xf6], 'aö'],
    ['long text of Python 2', joinBytes([0x54], int32(1), [0x62]), 'b'],
    ['bytes', [0x43, 2, 0, 255], Uint8Array.of(0, 255)],
  ])('%s', (_, instructions, value) => {
    expect(read(instructions)).toEqual(value);
  });
});

describe('containers', () => {
  test('tuples and lists', () => {
    expect(read(op.emptyTuple)).toEqual([]);
    expect(read(op.int(1), [0x85])).toEqual([1]);
    expect(read(op.int(1), op.int(2), op.int(3), [0x87])).toEqual([1, 2, 3]);
    expect(read(op.emptyList, op.int(1), op.append, op.mark, op.int(2), op.int(3), op.appends)).toEqual([
      1, 2, 3,
    ]);
  });

  test('dictionaries', () => {
    const items = [op.text('a'), op.int(1), op.setItem, op.mark, op.int(2), op.none, op.setItems];
    expect(read(op.emptyDict, ...items)).toEqual(
      new Map<PickleValue, PickleValue>([
        ['a', 1],
        [2, null],
      ]),
    );
  });

  test('what is remembered is the same object, also inside itself', () => {
    const list = read(op.emptyList, op.put(7), op.get(7), op.append) as PickleValue[];
    expect(list[0]).toBe(list);
    expect(read([0x8c, 1, 0x61, 0x94], op.pop, [0x68, 0])).toBe('a');
    expect(read(op.text('a'), joinBytes([0x72], int32(300)), op.pop, joinBytes([0x6a], int32(300)))).toBe(
      'a',
    );
  });

  test('ten thousand levels of nesting are refused, ten are read', () => {
    const nested = (depth: number) => [
      ...Array.from({ length: depth }, () => op.emptyList),
      ...Array.from({ length: depth - 1 }, () => op.append),
    ];
    expect(JSON.stringify(read(...nested(10)))).toBe('[[[[[[[[[[]]]]]]]]]]');
    expect(reading(...nested(10_000))).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is refused at byte 8195: more than 8192 values are nested or not yet used
        fix: no checkpoint needs that; where you trust the file, load it in PyTorch and save its weights alone]
    `);
    const marks = Array.from({ length: 10_000 }, () => op.mark);
    expect(reading(...marks)).toThrow('more than 8192 values are nested');
  });
});

describe('what the host decides', () => {
  test('functions are called by the host alone', () => {
    expect(read(op.global('test', 'sum'), tuple(op.int(1), op.int(2)), op.reduce)).toBe(3);
    expect(read(op.text('test'), op.text('sum'), [0x93], tuple(op.int(1), op.int(2)), op.reduce)).toBe(3);
    expect(reading(op.global('os', 'system'))).toThrow('no os.system');
    expect(reading(op.text('os'), op.text('system'), [0x93])).toThrow('no os.system');
  });

  test('records get their attributes', () => {
    const state = [op.emptyDict, op.text('a'), op.int(1), op.setItem, op.build];
    const record = read(op.global('test', 'record'), op.emptyTuple, op.newObject, ...state) as PickleRecord;
    expect(record.className).toBe('test.record');
    expect(record.attributes).toEqual(new Map([['a', 1]]));
  });

  test('attributes of a dictionary are left out', () => {
    expect(read(op.emptyDict, op.emptyDict, op.build)).toEqual(new Map());
  });

  test('what lies outside', () => {
    expect(read(op.text('id'), op.persistent)).toEqual(['outside', 'id']);
  });
});

test('pickles that follow one another, and one that is cut off anywhere', () => {
  const first = pickleOf(op.text('first'), op.pop, op.global('test', 'value'), op.pop, op.int(1));
  const both = joinBytes(first, pickleOf(op.int(2)));
  expect(unpickle(both, host, 'x.pt')).toEqual({ value: 1, end: first.length });
  expect(unpickle(both, host, 'x.pt', first.length)!.value).toBe(2);
  for (let length = 0; length < first.length; length++) {
    expect(unpickle(first.subarray(0, length), host, 'x.pt')).toBeUndefined();
  }
});

describe('refusals', () => {
  test('an instruction of older protocols', () => {
    expect(reading([0x49, 0x31, 0x0a])).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is broken near byte 3: 0x49 is no instruction that PyTorch writes
        fix: the file is damaged: copy or write it again]
    `);
  });

  test('a newer protocol', () => {
    expect(reading([0x80, 6])).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is broken near byte 4: pickle protocol 6 is unknown: 2 to 5 are read
        fix: the file is damaged: copy or write it again]
    `);
  });

  test.each<[string, Bytes[]]>([
    ['a value is missing on the stack', []],
    ['a value is missing on the stack', [op.int(1), op.mark, op.append]],
    ['a mark is missing on the stack', [op.int(1), op.tuple]],
    ['items are added to what is no list', [op.int(1), op.int(2), op.append]],
    ['items are set in what is no dictionary', [op.int(1), op.int(2), op.int(3), op.setItem]],
    ['a key has no value', [op.emptyDict, op.mark, op.int(1), op.setItems]],
    ['value 3 is used before it is there', [op.get(3)]],
    ['what is called is no function', [op.int(1), op.emptyTuple, op.reduce]],
    ['test.value cannot be called', [op.global('test', 'value'), op.emptyTuple, op.reduce]],
    ['the arguments of test.sum are no tuple', [op.global('test', 'sum'), op.int(1), op.reduce]],
    ['attributes are set in what has none', [op.int(1), op.emptyDict, op.build]],
    ['a global has no name', [op.int(1), op.text('a'), [0x93]]],
    ['text is not UTF-8', [[0x8c, 1, 0xff]]],
  ])('%s', (problem, instructions) => {
    const attempt = reading(...instructions);
    expect(attempt).toThrow(CheckpointError);
    expect(attempt).toThrow(problem);
  });

  test('an integer of two thousand bytes', () => {
    expect(reading(joinBytes([0x8b], int32(2000), new Uint8Array(2000)))).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is refused at byte 7: an integer of 2000 bytes
        fix: no checkpoint needs that; where you trust the file, load it in PyTorch and save its weights alone]
    `);
  });

  test('instructions without end', () => {
    const many = new Uint8Array(3_000_000).fill(0x4e);
    for (let i = 1; i < many.length; i += 2) many[i] = 0x30;
    expect(reading(many)).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is refused at byte 2000001: more than 2000000 instructions
        fix: no checkpoint needs that; where you trust the file, load it in PyTorch and save its weights alone]
    `);
  });
});
