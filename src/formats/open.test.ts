import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type Bytes,
  dictInstructions,
  joinBytes,
  op,
  type PickledTensor,
  pickleOf,
  tensorInstructions,
  torchArchive,
  torchStateDict,
} from '../../test/support/torch-writer.ts';
import { CheckpointError } from '../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../core/host-tensor.ts';
import { readTensors } from '../core/tensor-source.ts';
import { bytesInMemory, bytesOfBlob } from './byte-source.ts';
import { openTensors } from './open.ts';
import { serialiseSafetensors } from './safetensors.ts';

const fixture = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/${path}`, import.meta.url)));
const openBytes = (bytes: Uint8Array) => openTensors(bytesInMemory(bytes), 'x.pt');
const readBytes = async (bytes: Uint8Array): Promise<TensorMap> => readTensors(await openBytes(bytes));

async function messageOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message;
}

/** A dictionary of named tensors whose storages hold 0, 1, 2, … as float32. */
const archiveOf = (tensors: Readonly<Record<string, PickledTensor>>): Uint8Array => {
  const entries = Object.entries(tensors).map(
    ([name, tensor]) => [name, tensorInstructions(tensor)] as const,
  );
  const storages = Object.values(tensors).map(({ key, length }) => {
    const values = Float32Array.from({ length }, (_, i) => i);
    return [key, new Uint8Array(values.buffer)] as const;
  });
  return torchArchive({
    pickle: pickleOf(dictInstructions(entries)),
    storages: Object.fromEntries(storages),
  });
};
const archiveWith = (...instructions: readonly Bytes[]): Uint8Array =>
  torchArchive({ pickle: pickleOf(...instructions), storages: {} });

/** `ema` of `test/fixtures/torch/make.py`. */
const AVERAGE: TensorMap = new Map([
  ['weight', tensorOf('f32', [2, 3], [0, 0.5, 1, 1.5, 2, 2.5])],
  ['bias', tensorOf('f32', [2], [0.25, -0.25])],
]);

describe('files of PyTorch', () => {
  test('a training checkpoint gives its state dicts and arguments', async () => {
    const file = await openBytes(fixture('torch/training.pt'));
    expect(file.format).toBe('PyTorch');
    expect(file.metadata).toEqual({ 'args.model': 'U-DiT-S', 'args.num_classes': '10' });
    expect(await readTensors(file)).toEqual(
      new Map([
        ['model.module.weight', tensorOf('f32', [2, 3], [0, 1, 2, 3, 4, 5])],
        ['model.module.bias', tensorOf('f32', [2], [0.5, -0.5])],
        ['ema.weight', AVERAGE.get('weight')],
        ['ema.bias', AVERAGE.get('bias')],
      ]),
    );
  });

  test.each(['protocol4', 'protocol5', 'deflated'])('a state dict: %s', async (name) => {
    expect(await readBytes(fixture(`torch/${name}.pt`))).toEqual(AVERAGE);
  });

  test('parameters, scalars and tied tensors', async () => {
    expect(await readBytes(fixture('torch/tied.pt'))).toEqual(
      new Map<string, HostTensor>([
        ['parameter', tensorOf('f32', [2], [1, 2])],
        ['scalar', tensorOf('f64', [], [2.5])],
        ['tied.0', tensorOf('f32', [2, 3], [0, 1, 2, 3, 4, 5])],
        ['tied.1', tensorOf('f32', [3, 2], [0, 3, 1, 4, 2, 5])],
      ]),
    );
  });

  // Values of expected.json, which `npm run parity` compares in full.
  test.each(['exotic', 'exotic_legacy'])('views, offsets and element types: %s', async (name) => {
    const tensors = await readBytes(fixture(`checkpoints/${name}.pt`));
    expect(Object.fromEntries(tensors)).toMatchObject({
      slice_offset: tensorOf('f32', [6], [5, 6, 7, 8, 9, 10]),
      strided: tensorOf('f32', [8], [0, 3, 6, 9, 12, 15, 18, 21]),
      i64: hostTensor('i64', [6], BigInt64Array.of(-3n, -2n, -1n, 0n, 1n, 2n)),
      i32: tensorOf('i32', [4], [0, 1, 2, 3]),
      u8: tensorOf('u8', [2], [0, 255]),
      bool: tensorOf('bool', [2], [1, 0]),
      f64: tensorOf('f64', [2], [1 / 3, 2 / 3]),
      f16: tensorOf('f32', [3], [1.5, 65504, 2 ** -24]),
      bf16: tensorOf('f32', [2], [1.5, 3.140625]),
      scalar: tensorOf('f32', [], [2.5]),
      empty: tensorOf('f32', [0, 3], []),
      param: tensorOf('f32', [2], [1, 2]),
    });
  });

  test('from a blob, as browsers have files', async () => {
    const blob = new Blob([fixture('torch/training.pt') as BlobPart]);
    const file = await openTensors(bytesOfBlob(blob), 'x.pt');
    expect(await file.read('ema.bias')).toEqual(AVERAGE.get('bias'));
  });
});

test('safetensors', async () => {
  const chunks = serialiseSafetensors(AVERAGE, { step: '3' }, { floats: 'f16' });
  const file = await openBytes(joinBytes(...chunks));
  expect([file.format, file.metadata, [...file.infos]]).toEqual([
    'safetensors',
    { step: '3' },
    [
      ['weight', { dtype: 'f32', shape: [2, 3] }],
      ['bias', { dtype: 'f32', shape: [2] }],
    ],
  ]);
  expect(await readTensors(file)).toEqual(AVERAGE);
});

describe('views', () => {
  test('any order of axes, steps and repetition', async () => {
    const shared = { key: '0', length: 24 };
    const file = archiveOf({
      permuted: { ...shared, shape: [4, 2, 3], strides: [1, 12, 4] },
      stepped: { ...shared, offset: 1, shape: [2, 3], strides: [8, 2] },
      repeated: { ...shared, offset: 5, shape: [2, 2], strides: [0, 3] },
      'of one element': { ...shared, offset: 23, shape: [1, 1], strides: [999, 7] },
      empty: { ...shared, offset: 24, shape: [3, 0], strides: [5, 5] },
    });
    const at = (i: number, j: number, k: number): number => i + 12 * j + 4 * k;
    const permuted = [0, 1, 2, 3].flatMap((i) => [0, 1].flatMap((j) => [0, 1, 2].map((k) => at(i, j, k))));
    expect(Object.fromEntries(await readBytes(file))).toEqual({
      permuted: tensorOf('f32', [4, 2, 3], permuted),
      stepped: tensorOf('f32', [2, 3], [1, 3, 5, 9, 11, 13]),
      repeated: tensorOf('f32', [2, 2], [5, 8, 5, 8]),
      'of one element': tensorOf('f32', [1, 1], [23]),
      empty: tensorOf('f32', [3, 0], []),
    });
  });

  test('a part of a storage is read without the rest, once its checksum is known', async () => {
    const bytes = archiveOf({ a: { key: '0', length: 5000, offset: 100, shape: [10] } });
    const reads: number[] = [];
    const memory = bytesInMemory(bytes);
    const source = {
      size: bytes.length,
      read: (begin: number, end: number) => {
        reads.push(end - begin);
        return memory.read(begin, end);
      },
    };
    const file = await openTensors(source, 'x.pt');
    await file.read('a');
    reads.length = 0;
    expect((await file.read('a')).data[0]).toBe(100);
    expect(reads).toEqual([40]);
  });
});

describe('tensors wherever they are', () => {
  const state = (name: string): Bytes =>
    dictInstructions([[name, tensorInstructions({ key: '0', length: 1, shape: [1] })]]);
  const namesOf = async (...instructions: readonly Bytes[]) => {
    const pickle = pickleOf(...instructions);
    return [...(await openBytes(torchArchive({ pickle, storages: { 0: new Uint8Array(4) } }))).infos.keys()];
  };
  const object = (attributes: Bytes): Bytes =>
    joinBytes(op.global('any', 'Class'), op.emptyTuple, op.newObject, attributes, op.build);

  test('deep in dictionaries, lists and objects', async () => {
    const list = joinBytes(op.emptyList, state('a'), op.append, object(state('b')), op.append);
    const names = await namesOf(dictInstructions([['callbacks', dictInstructions([['EMA', list]])]]));
    expect(names).toEqual(['callbacks.EMA.0.a', 'callbacks.EMA.1.b']);
  });

  test('keys that are floats, as of averages; not the numbers of an optimizer', async () => {
    const entries = [op.float(0.999), state('a'), op.setItem, op.int(0), state('b'), op.setItem];
    expect(await namesOf(op.emptyDict, ...entries)).toEqual(['0.999.a']);
  });

  test('a whole module', async () => {
    const module = (parameters: Bytes, modules: Bytes): Bytes =>
      object(
        dictInstructions([
          ['training', op.yes],
          ['_parameters', parameters],
          ['_buffers', op.emptyDict],
          ['_modules', modules],
        ]),
      );
    const inner = module(state('weight'), op.emptyDict);
    expect(await namesOf(module(state('scale'), dictInstructions([['proj', inner]])))).toEqual([
      'scale',
      'proj.weight',
    ]);
  });

  test('an object that holds itself', async () => {
    const itself = [op.duplicate, op.put(1), op.pop];
    const entries = [op.emptyDict, op.text('self'), op.get(1), op.setItem, op.build];
    const weights = [op.text('weights'), state('a'), op.setItem];
    const made = [op.global('any', 'Class'), op.emptyTuple, op.newObject];
    expect(await namesOf(...made, ...itself, ...entries, ...weights)).toEqual(['weights.a']);
  });
});

describe('refusals', () => {
  test('a function that is no part of a checkpoint', async () => {
    const args = [op.mark, op.text('rm -rf /'), op.tuple];
    const bomb = archiveWith(op.global('posix', 'system'), ...args, op.reduce);
    expect(await messageOf(openBytes(bomb))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its pickle asks for posix.system, which is refused: through such names a file can run any program
        fix: where you trust the file, load it in PyTorch and save its weights alone, as in torch.save(checkpoint["ema"], path)"
    `);
    const named = archiveWith(op.global('posix', 'system'));
    expect(await messageOf(openBytes(named))).toContain('there are no named tensors');
    const disguised = archiveWith(op.global('os', `\u001b[2m${'x'.repeat(100)}`), ...args, op.reduce);
    expect(await messageOf(openBytes(disguised))).toContain('asks for os.\\x1b[2mxxx');
  });

  test.each([
    ['builtins', 'eval'],
    ['__builtin__', 'exec'],
    ['os', 'system'],
    ['nt', 'system'],
    ['subprocess', 'Popen'],
    ['importlib', 'import_module'],
    ['shutil', 'rmtree'],
    ['runpy', '_run_code'],
  ])('a call of %s.%s, by whatever instruction', async (module, name) => {
    const args = [op.mark, op.text('1'), op.tuple];
    const called = [op.global(module, name), ...args];
    const instances: Bytes[][] = [
      [...called, op.reduce],
      [...called, op.newObject],
      [...called, op.emptyDict, [0x92]],
      [op.mark, op.global(module, name), op.text('1'), [0x6f]],
      [op.mark, op.text('1'), new TextEncoder().encode(`i${module}\n${name}\n`)],
    ];
    for (const instructions of instances) {
      expect(await messageOf(openBytes(archiveWith(...instructions)))).toContain('can run any program');
    }
  });

  test('names without end', async () => {
    const twice = [
      op.put(1),
      op.pop,
      op.emptyDict,
      op.text('a'),
      op.get(1),
      op.setItem,
      op.text('b'),
      op.get(1),
      op.setItem,
    ];
    const tensor = tensorInstructions({ key: '0', length: 1, shape: [1] });
    const pickle = pickleOf(tensor, ...Array.from({ length: 30 }, () => twice).flat());
    const file = torchArchive({ pickle, storages: { 0: new Uint8Array(4) } });
    expect(await messageOf(openBytes(file))).toContain('the names of its tensors have no end');
  });

  test('a rebuild function within another, ten thousand deep', async () => {
    const type = op.global('torch._tensor', '_rebuild_from_type_v2');
    const depth = 10_000;
    const instructions = [
      ...Array.from({ length: depth }, () => [op.mark, type, op.none]).flat(),
      ...Array.from({ length: depth }, () => op.tuple),
    ];
    const file = archiveWith(type, ...instructions, op.reduce);
    expect(await messageOf(openBytes(file))).toContain('no (function, class, arguments)');
  });

  test('a tensor that leaves its storage', async () => {
    for (const place of [{ offset: 5 }, { strides: [4, 1] }, { offset: 2 ** 31 - 1 }]) {
      const file = archiveOf({ a: { key: '0', length: 6, shape: [2, 3], ...place } });
      expect(await messageOf(openBytes(file))).toContain('leaves storage 0 of 6 elements');
    }
    const file = archiveOf({ a: { key: '0', length: 6, shape: [2, 3], strides: [4, 1] } });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a tensor [2,3] with strides [4,1] from element 0 leaves storage 0 of 6 elements
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('negative sizes, and strides that are too few', async () => {
    const shared = { key: '0', length: 6 };
    for (const tensor of [
      { ...shared, shape: [-1], strides: [1] },
      { ...shared, shape: [2], strides: [-1] },
      { ...shared, shape: [2], strides: [] },
      { ...shared, shape: [2], offset: -1 },
    ]) {
      const pickle = pickleOf(dictInstructions([['a', tensorInstructions(tensor)]]));
      const file = torchArchive({ pickle, storages: { 0: new Uint8Array(24) } });
      expect(await messageOf(openBytes(file))).toMatch(
        /^CheckpointError: x.pt: what it says of a tensor is no/,
      );
    }
  });

  test('a storage of another size than its file', async () => {
    const tensor = tensorInstructions({ key: '0', length: 6, shape: [6] });
    const pickle = pickleOf(dictInstructions([['a', tensor]]));
    const short = torchArchive({ pickle, storages: { 0: new Uint8Array(23) } });
    expect(await messageOf(openBytes(short))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: storage 0 of float32 takes 24 bytes, but archive/data/0 has 23
        fix: the file is damaged: copy or write it again"
    `);
    const none = torchArchive({ pickle, storages: {} });
    expect(await messageOf(openBytes(none))).toContain('but archive/data/0 is not there');
  });

  test('a storage of two lengths', async () => {
    const file = archiveOf({
      a: { key: '0', length: 6, shape: [6] },
      b: { key: '0', length: 5, shape: [5] },
    });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: storage 0 has 6 elements of float32 in one place, 5 of float32 in another
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a tensor of one element that says it is many', async () => {
    const file = archiveOf({ a: { key: '0', length: 1, shape: [2 ** 30], strides: [0] } });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its tensors would take 4294967296 bytes in memory, the limit is 67115056 for a file of 387
        fix: where you trust the file, load it in PyTorch and save it again with each tensor cloned"
    `);
  });

  test('big-endian numbers', async () => {
    const extras = { byteorder: new TextEncoder().encode('big') };
    const file = torchArchive({ pickle: pickleOf(op.emptyDict), storages: {}, extras });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its numbers are stored with the most significant byte first
        fix: load and save it in PyTorch on a little-endian machine, as nearly all are"
    `);
  });

  test('a TorchScript program', async () => {
    const extras = { 'constants.pkl': pickleOf(op.emptyTuple) };
    const file = torchArchive({ pickle: pickleOf(op.emptyDict), storages: {}, extras });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a TorchScript program, not a checkpoint
        fix: save the weights alone: torch.save(torch.jit.load(path).state_dict(), path)"
    `);
  });

  test('a zip archive of something else', async () => {
    expect(await messageOf(openBytes(fixture('npz/stored.npz')))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a zip archive without a data.pkl, so torch.save did not write it; it has 9 files such as u8.npy
        fix: give a .pt file, or a .safetensors file"
    `);
  });

  test('a pickle that is cut off', async () => {
    const whole = pickleOf(op.emptyDict);
    const file = torchArchive({ pickle: whole.subarray(0, -1), storages: {} });
    expect(await messageOf(openBytes(file))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: archive/data.pkl of 3 bytes ends before its pickle does
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a pickle of something else', async () => {
    expect(await messageOf(openBytes(pickleOf(op.int(1))))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a Python pickle, but not one of torch.save
        fix: give a .pt file, or a .safetensors file"
    `);
    expect(await messageOf(openBytes(pickleOf(op.int(1)).subarray(0, -1)))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its pickle does not end within its first 7 bytes
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('tensors without names', async () => {
    expect(await messageOf(openBytes(archiveWith(op.emptyList)))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: there are no named tensors in it that can be read, neither in a state dict nor in a dictionary of some
        fix: save the weights of a model: torch.save(model.state_dict(), path)"
    `);
  });
});

test('a state dict of the tests is read as it was written', async () => {
  expect(await readBytes(torchStateDict(AVERAGE))).toEqual(AVERAGE);
});
