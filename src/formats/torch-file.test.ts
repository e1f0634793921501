import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  dictInstructions,
  joinBytes,
  type LegacyParts,
  op,
  pickleOf,
  tensorInstructions,
  torchLegacy,
} from '../../test/support/torch-writer.ts';
import { CheckpointError } from '../core/errors.ts';
import { tensorOf } from '../core/host-tensor.ts';
import { readTensors } from '../core/tensor-source.ts';
import { bytesInMemory } from './byte-source.ts';
import { openTensors } from './open.ts';
import { serialiseSafetensors } from './safetensors.ts';
import { openTorch } from './torch-file.ts';

const TWO = new Uint8Array(Float32Array.of(1, 2).buffer);
const THREE = new Uint8Array(BigInt64Array.of(3n, 4n, 5n).buffer);
const PICKLE = pickleOf(
  dictInstructions([
    ['a', tensorInstructions({ key: '10', length: 2, shape: [2] })],
    ['b', tensorInstructions({ key: '9', dtype: 'i64', length: 3, offset: 1, shape: [2] })],
  ]),
);
const PARTS: LegacyParts = {
  pickle: PICKLE,
  storages: [
    ['9', 3, THREE],
    ['10', 2, TWO],
  ],
};

const open = (changes: Partial<LegacyParts>) =>
  openTensors(bytesInMemory(torchLegacy({ ...PARTS, ...changes })), 'x.pt');

async function problemOf(changes: Partial<LegacyParts>): Promise<string> {
  const error: unknown = await open(changes).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message;
}

describe('files before PyTorch 1.6', () => {
  test('storages in another order than the tensors', async () => {
    const file = await open({});
    expect(file.format).toBe('PyTorch before 1.6');
    expect(Object.fromEntries(await readTensors(file))).toEqual({
      a: tensorOf('f32', [2], [1, 2]),
      b: tensorOf('i64', [2], [4, 5]),
    });
  });

  test('a pickle that is longer than what is read at first', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => [`n${i}`, op.int(i)] as const);
    const rest = many.slice(0, 4000);
    const instructions = [...many].slice(4000).flatMap(([name, value]) => [op.text(name), value, op.setItem]);
    const pickle = pickleOf(
      dictInstructions(rest),
      ...instructions,
      op.text('a'),
      tensorInstructions({ key: '10', length: 2, shape: [2] }),
      op.setItem,
    );
    expect(pickle.length).toBeGreaterThan(2 ** 17);
    const file = await open({ pickle, storages: [['10', 2, TWO]] });
    expect(await file.read('a')).toEqual(tensorOf('f32', [2], [1, 2]));
  });

  test('a file that is cut off', async () => {
    const bytes = torchLegacy(PARTS).subarray(0, -1);
    await expect(openTensors(bytesInMemory(bytes), 'x.pt')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: storage 10 ends at byte 407, but the file has 406
        fix: the file is damaged: copy or write it again]
    `);
  });

  test('bytes that belong to nothing', async () => {
    expect(
      await problemOf({
        storages: [
          ['9', 3, THREE],
          ['10', 2, new Uint8Array(9)],
        ],
      }),
    ).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: 1 bytes after its last storage belong to none
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('another length than that of the tensors', async () => {
    expect(
      await problemOf({
        storages: [
          ['9', 4, THREE],
          ['10', 2, TWO],
        ],
      }),
    ).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: storage 9 has 4 elements by its own length, 3 by its tensors
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('storages that are not those of the tensors', async () => {
    const message = await problemOf({ storages: [['9', 3, THREE]] });
    expect(message).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its list of storages is not that of its tensors
        fix: the file is damaged: copy or write it again"
    `);
    expect(await problemOf({ storages: [...PARTS.storages, ['11', 2, TWO]] })).toBe(message);
    expect(await problemOf({ storages: [PARTS.storages[0]!, PARTS.storages[0]!] })).toBe(message);
  });

  test('another version', async () => {
    expect(await problemOf({ protocol: 1002 })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a Python pickle, but not one of torch.save
        fix: give a .pt file, or a .safetensors file"
    `);
  });

  test('big-endian numbers', async () => {
    expect(await problemOf({ littleEndian: false })).toContain('with the most significant byte first');
  });

  test('a storage that is a view of another', async () => {
    const view = [op.mark, op.text('v'), op.int(0), op.int(2), op.tuple];
    const id = [
      op.text('storage'),
      op.global('torch', 'FloatStorage'),
      op.text('1'),
      op.text('cpu'),
      op.int(2),
    ];
    const pickle = pickleOf(op.mark, ...id, ...view, op.tuple, op.persistent);
    expect(await problemOf({ pickle, storages: [['1', 2, TWO]] })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: storage 1 is a view of another one, as PyTorch wrote them before version 0.4
        fix: load and save it in a newer PyTorch"
    `);
  });

  test('a storage of no kind', async () => {
    const pickle = pickleOf(op.mark, op.text('storage'), op.tuple, op.persistent);
    expect(await problemOf({ pickle, storages: [] })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: what it says of a storage is no (type, key, device, length)
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a negated tensor', async () => {
    const [offset, shape] = [op.int(0), [op.mark, op.int(2), op.tuple]];
    const id = [
      op.text('storage'),
      op.global('torch', 'FloatStorage'),
      op.text('1'),
      op.text('cpu'),
      op.int(2),
    ];
    const strides = [op.mark, op.int(1), op.tuple];
    const metadata = dictInstructions([['neg', op.yes]]);
    const negated = joinBytes(
      op.global('torch._utils', '_rebuild_tensor_v2'),
      op.mark,
      ...[op.mark, ...id, op.tuple, op.persistent, offset, ...shape, ...strides, op.no, op.none, metadata],
      op.tuple,
      op.reduce,
    );
    const plain = tensorInstructions({ key: '1', length: 2, shape: [2] });
    const pickle = pickleOf(
      dictInstructions([
        ['plain', plain],
        ['negated', negated],
      ]),
    );
    const file = await open({ pickle, storages: [['1', 2, TWO]] });
    expect([...file.infos.keys()]).toEqual(['plain']);
    expect(Object.fromEntries(file.unreadable!)).toEqual({
      negated: 'is stored negated or conjugated: store tensor.resolve_neg().resolve_conj()',
    });
  });
});

/** `test/fixtures/torch/protocols`: Python's own pickler over stand-ins of PyTorch's classes. */
describe('any protocol in both containers, with what scripts keep beside their weights', () => {
  const names = ['new', 'old'].flatMap((age) => [0, 1, 2, 3, 4, 5].map((protocol) => `${age}-${protocol}`));

  test.each(names)('%s', async (name) => {
    const url = new URL(`../../test/fixtures/torch/protocols/${name}.pt`, import.meta.url);
    const file = await openTensors(bytesInMemory(new Uint8Array(readFileSync(url))), 'x.pt');
    expect(Object.fromEntries(await readTensors(file))).toEqual({
      'model.weight': tensorOf('f32', [2, 3], [0, 1, 2, 3, 4, 5]),
      'model.transposed': tensorOf('f32', [3, 2], [0, 3, 1, 4, 2, 5]),
      'model.bias': tensorOf('i64', [2], [-8, 9]),
      'model.tagged': tensorOf('f32', [2], [0.5, -0.5]),
      'model.short': tensorOf('i32', [2], [-1, 32767]),
      'model.unsigned': tensorOf('i32', [2], [1, 65535]),
      'model.eighth': tensorOf('f32', [3], [1, 448, -(2 ** -9)]),
      'averages.0.weight': tensorOf('f32', [2, 3], [0, 1, 2, 3, 4, 5]),
    });
    expect(file.metadata).toEqual({ 'args.model': 'DiT-S/2', 'args.seed': '3', 'args.fast': 'false' });
    expect(Object.fromEntries(file.unreadable!)).toMatchObject({
      'model.complex': 'is of complex64: store it as float32',
      'model.sparse': 'is sparse: store tensor.to_dense()',
      'model.quantised': 'is quantised: store tensor.dequantize()',
      'args.results': 'is an object of pathlib.PurePosixPath, which is not built',
    });
    expect(file.passedOver).toEqual(
      expect.arrayContaining(['torch.device', 'datetime.datetime', '__main__.Phase']),
    );
  });
});

test('a header of safetensors that begins with the bytes of a pickle', async () => {
  const tensors = new Map([['a', tensorOf('f32', [1], [1])]]);
  const padding = 640 - (serialiseSafetensors(tensors, { x: '' })[0]!.length - 8);
  const bytes = joinBytes(...serialiseSafetensors(tensors, { x: 'x'.repeat(padding) }));
  expect([...bytes.subarray(0, 2)]).toEqual([0x80, 2]);
  expect((await openTensors(bytesInMemory(bytes), 'x')).format).toBe('safetensors');
});

test('a file of another kind', async () => {
  const opening = openTorch(bytesInMemory(Uint8Array.of(1, 2, 3, 4)), 'x.pt');
  await expect(opening).rejects.toThrow('it begins neither as a zip archive nor as a pickle');
});
