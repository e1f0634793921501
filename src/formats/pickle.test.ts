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

  test('nested a hundred thousand deep, which nothing recurses into', () => {
    const depth = 100_000;
    const nested = [new Uint8Array(depth).fill(0x5d), new Uint8Array(depth - 1).fill(0x61)];
    let inner = read(...nested) as PickleValue[];
    let found = 1;
    for (; inner.length > 0; found++) inner = inner[0] as PickleValue[];
    expect(found).toBe(depth);
  });

  test('sets, and tuples of more items than a batch', () => {
    expect(read([0x8f], op.mark, op.int(1), op.int(2), [0x90])).toEqual([1, 2]);
    expect(read(op.mark, op.int(1), [0x91])).toEqual([1]);
    const items = Array.from({ length: 20_000 }, () => op.yes);
    expect(read(tuple(...items))).toHaveLength(20_000);
  });
});

describe('protocols 0 and 1', () => {
  const text = (line: string): Uint8Array => new TextEncoder().encode(line);

  test.each<[string, Bytes, PickleValue]>([
    ['an integer', text('I-12\n'), -12],
    ['booleans', joinBytes(text('I01\nI00\n'), [0x86]), [true, false]],
    ['a long of Python 2', text('L9007199254740993L\n'), 2n ** 53n + 1n],
    [
      'floats',
      joinBytes(text('F1e-05\nF-inf\nFnan\n'), [0x87]),
      [1e-5, Number.NEGATIVE_INFINITY, Number.NaN],
    ],
    ['quoted text', text(`${String.raw`S'a\'b\\\n\x41\101'`}\n`), "a'b\\\nAA"],
    ['text', text(`${String.raw`V\u5b57\U0001f600 a`}\n`), '字😀 a'],
    ['a list and a dictionary', text('(I1\nlp0\n0(g0\nI2\nd'), new Map([[[1], 2]]) as unknown as PickleValue],
    ['an identifier', text('Pid\n'), ['outside', 'id']],
    ['an object', text('(I1\nI2\nitest\nsum\n'), 3],
    ['an object of a class on the stack', text('(ctest\nsum\nI1\nI2\no'), 3],
  ])('%s', (_, instructions, value) => {
    expect(read(instructions)).toEqual(value);
  });

  test('a quote that does not end', () => {
    expect(reading(text("S'a\n"))).toThrow('text is written in a way that Python does not');
    expect(reading(text('F1,5\n'))).toThrow('a float is written in a way that Python does not');
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

  test('items of objects, attributes with slots, and keywords', () => {
    const made = [op.global('test', 'record'), op.emptyTuple, op.emptyDict, [0x92]];
    const dict = (name: string) => [op.emptyDict, op.text(name), op.int(1), op.setItem];
    const states = [...dict('b'), ...dict('c'), [0x86], op.build];
    const record = read(...made, op.text('a'), op.int(1), op.setItem, op.int(2), op.append, ...states);
    expect([...(record as PickleRecord).attributes.keys()]).toEqual(['a', 'b', 'c']);
  });

  test('nothing is made of a call that the host does not know but an object without content', () => {
    const called = [op.global('test', 'value'), op.emptyTuple, op.reduce];
    expect(read(...called)).toEqual(new PickleRecord('test.value'));
    expect(read(...called, op.emptyTuple, op.reduce)).toEqual(new PickleRecord('test.value'));
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
  test('an unknown instruction', () => {
    expect(reading([0xff])).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is broken near byte 3: 0xff is no instruction that stands in a file
        fix: the file is damaged: copy or write it again]
    `);
  });

  test('a newer protocol', () => {
    expect(reading([0x80, 6])).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is broken near byte 4: pickle protocol 6 is unknown: 0 to 5 are read
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
    ['the arguments of test.sum are no tuple', [op.global('test', 'sum'), op.int(1), op.reduce]],
    ['attributes are set in what has none', [op.int(1), op.emptyDict, op.build]],
    ['a global has no name', [op.int(1), op.text('a'), [0x93]]],
    ['text is not UTF-8', [[0x8c, 1, 0xff]]],
  ])('%s', (problem, instructions) => {
    const attempt = reading(...instructions);
    expect(attempt).toThrow(CheckpointError);
    expect(attempt).toThrow(problem);
  });

  test('an integer of two thousand bytes stays unknown', () => {
    const unknown = new PickleRecord('builtins.int');
    expect(read(joinBytes([0x8b], int32(2000), new Uint8Array(2000)))).toEqual(unknown);
    expect(read(new TextEncoder().encode(`L${'9'.repeat(2000)}L\n`))).toEqual(unknown);
  });

  test('instructions without end', () => {
    const many = new Uint8Array(3_000_000).fill(0x4e);
    for (let i = 1; i < many.length; i += 2) many[i] = 0x30;
    expect(reading(many)).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: its pickle is refused at byte 2000002: more than 2000000 instructions
        fix: no checkpoint needs that; where you trust the file, load it in PyTorch and save its weights alone]
    `);
  });

  test('copies without end: a call counts as much as it makes', () => {
    const copying: PickleHost = {
      ...host,
      global: (name) => new PickleGlobal(name, ([list]) => [...(list as PickleValue[])]),
    };
    const list = [
      op.emptyList,
      op.mark,
      ...Array.from({ length: 10_000 }, () => op.none),
      op.appends,
      [0x85],
    ];
    const copy = [op.global('test', 'copy'), op.get(0), op.reduce, op.pop];
    const many = Array.from({ length: 300 }, () => copy).flat();
    const attempt = () => unpickle(pickleOf(...list, op.put(0), op.pop, ...many, op.none), copying, 'x.pt');
    expect(attempt).toThrow('more than 2000000 instructions');
  });
});
