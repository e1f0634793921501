import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../core/errors.ts';
import { type HostTensor, hostTensor, tensorOf } from '../core/host-tensor.ts';
import { bytesInMemory } from './byte-source.ts';
import { openSafetensors, parseSafetensors, serialiseSafetensors } from './safetensors.ts';

const REFERENCE_FILE = new URL('../../test/fixtures/safetensors/dtypes.safetensors', import.meta.url);

function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** A file of a given header and `dataBytes` bytes. */
function fileOf(header: unknown, dataBytes: number, byte = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(json.length), true);
  return concatenate([size, json, new Uint8Array(dataBytes).fill(byte)]);
}

const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe('a file of the reference library', () => {
  const bytes = new Uint8Array(readFileSync(REFERENCE_FILE));

  test('is read without a name, and from an ArrayBuffer', () => {
    expect(parseSafetensors(bytes.slice().buffer)).toEqual(parseSafetensors(bytes, 'dtypes.safetensors'));
    expect(() => parseSafetensors(new ArrayBuffer(3))).toThrow('safetensors: the file has 3 bytes');
  });

  test('gives every element type exactly', () => {
    const { tensors, metadata } = parseSafetensors(bytes, 'dtypes.safetensors');
    expect(metadata).toEqual({ family: 'test', step: '7' });
    expect(Object.fromEntries(tensors)).toEqual({
      f64: tensorOf('f64', [2], [1 / 3, -2.5]),
      f32: tensorOf('f32', [2, 2], [1, -2, 0.1, 3e38]),
      f16: tensorOf('f32', [3], [1, -0.0999755859375, 65504]),
      bf16: tensorOf('f32', [3], [1, -3.140625, Number.POSITIVE_INFINITY]),
      i64: hostTensor('i64', [2], BigInt64Array.of(2n ** 60n + 1n, -7n)),
      i32: tensorOf('i32', [], [-123456]),
      u8: tensorOf('u8', [3], [0, 127, 255]),
      bool: tensorOf('bool', [3], [1, 0, 1]),
      empty: tensorOf('f32', [0, 4], []),
    });
  });

  test.each([1, 2, 4])('reads the same at byte offset %i of a larger buffer, as Buffers are', (shift) => {
    const shifted = Buffer.alloc(bytes.length + shift).subarray(shift);
    shifted.set(bytes);
    expect(parseSafetensors(shifted, 'shifted')).toEqual(parseSafetensors(bytes, 'aligned'));
  });
});

describe('every element type of the format', () => {
  const valuesOf = (dtype: string, shape: number[], bytes: number[]) => {
    const data = Uint8Array.from(bytes);
    const file = fileOf({ w: entry(dtype, shape, 0, data.length) }, data.length);
    file.set(data, file.length - data.length);
    return parseSafetensors(file, 'x').tensors.get('w');
  };

  test.each<[string, HostTensor, number[]]>([
    ['I16', tensorOf('i32', [2], [-2, 32767]), [0xfe, 0xff, 0xff, 0x7f]],
    ['U16', tensorOf('i32', [2], [65534, 1]), [0xfe, 0xff, 1, 0]],
    ['U32', tensorOf('i64', [1], [2 ** 32 - 2]), [0xfe, 0xff, 0xff, 0xff]],
    ['U64', hostTensor('i64', [1], BigInt64Array.of(2n ** 63n - 1n)), [...new Array(7).fill(0xff), 0x7f]],
    ['I8', tensorOf('i8', [2], [-1, 127]), [0xff, 0x7f]],
    ['F8_E4M3', tensorOf('f32', [5], [1, 448, -448, 2 ** -9, Number.NaN]), [0x38, 0x7e, 0xfe, 1, 0x7f]],
    [
      'F8_E5M2',
      tensorOf('f32', [4], [1, 57344, -(2 ** -16), Number.POSITIVE_INFINITY]),
      [0x3c, 0x7b, 0x81, 0x7c],
    ],
    ['F8_E8M0', tensorOf('f32', [4], [2 ** -127, 1, 2 ** 127, Number.NaN]), [0, 127, 254, 255]],
  ])('%s', (dtype, tensor, bytes) => {
    expect(valuesOf(dtype, [...tensor.shape], bytes)).toEqual(tensor);
  });

  test('elements that are no numbers refuse a file only where they are asked for', async () => {
    const header = {
      complex: entry('C64', [2], 0, 16),
      quarters: entry('F4', [2, 3], 16, 19),
      sixths: entry('F6_E2M3', [4], 19, 22),
      newest: entry('X9', [4], 22, 23),
      w: entry('U8', [1], 23, 24),
    };
    const file = await openSafetensors(bytesInMemory(fileOf(header, 24, 7)), 'x');
    expect([...file.infos.keys()]).toEqual(['w']);
    expect([...file.unreadable!.keys()]).toEqual(['complex', 'quarters', 'sixths', 'newest']);
    expect(await file.read('w')).toEqual(tensorOf('u8', [1], [7]));
  });
});

test('metadata that are null', () => {
  const file = fileOf({ __metadata__: null, w: entry('U8', [1], 0, 1) }, 1);
  expect(parseSafetensors(file, 'x').metadata).toEqual({});
});

describe('round trip', () => {
  test('keeps order, shapes and values, also of names that look like array indices', () => {
    const tensors = new Map<string, HostTensor>([
      ['10', tensorOf('f32', [2], [1, 2])],
      ['2', tensorOf('u8', [3], [1, 2, 3])],
      ['blöcke.0', tensorOf('i64', [1], [-5])],
      ['__proto__', tensorOf('f64', [], [0.1])],
    ]);
    const file = parseSafetensors(concatenate(serialiseSafetensors(tensors, { step: '3' })), 'x');
    expect([...file.tensors]).toEqual([...tensors]);
    expect(file.metadata).toEqual({ step: '3' });
  });

  test('holds for any tensors', () => {
    const dtype = fc.constantFrom('f32', 'f64', 'i32', 'i64', 'u8', 'bool');
    const tensor = fc
      .tuple(dtype, fc.array(fc.nat(3), { maxLength: 3 }), fc.nat(1))
      .map(([type, shape, value]) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return tensorOf(type, shape, new Array<number>(size).fill(value)) as HostTensor;
      });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), tensor)), (entries) => {
        const tensors = new Map(entries.filter(([name]) => name !== '__metadata__'));
        const { tensors: read } = parseSafetensors(concatenate(serialiseSafetensors(tensors, {})), 'x');
        expect(Object.fromEntries(read)).toEqual(Object.fromEntries(tensors));
      }),
    );
  });

  test('neither copies data when writing nor aligned data when reading', () => {
    const weight = tensorOf('f32', [2], [1, 2]);
    const [, chunk] = serialiseSafetensors(new Map([['weight', weight]]), {});
    expect(chunk!.buffer).toBe(weight.data.buffer);

    const bytes = concatenate(serialiseSafetensors(new Map([['weight', weight]]), {}));
    expect(parseSafetensors(bytes, 'x').tensors.get('weight')!.data.buffer).toBe(bytes.buffer);
  });

  test('the header is padded with spaces so that data starts at a multiple of eight bytes', () => {
    const [prefix] = serialiseSafetensors(new Map([['w', tensorOf('u8', [1], [7])]]), {});
    expect(prefix!.length % 8).toBe(0);
    expect(new TextDecoder().decode(prefix!.subarray(8))).toMatchInlineSnapshot(
      `"{"__metadata__":{},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} "`,
    );
  });
});

describe('half precision', () => {
  test('narrows f32 and nothing else', () => {
    const tensors = new Map<string, HostTensor>([
      ['weight', tensorOf('f32', [3], [1, 0.1, Number.POSITIVE_INFINITY])],
      ['moment', tensorOf('f64', [1], [0.1])],
    ]);
    const chunks = serialiseSafetensors(tensors, {}, { floats: 'f16' });
    expect(chunks.slice(1).map((chunk) => chunk.length)).toEqual([6, 8]);
    const read = parseSafetensors(concatenate(chunks), 'x').tensors;
    expect(read.get('weight')).toEqual(tensorOf('f32', [3], [1, 0.0999755859375, Number.POSITIVE_INFINITY]));
    expect(read.get('moment')).toEqual(tensorOf('f64', [1], [0.1]));
  });

  test('refuses to make a finite value infinite', () => {
    const tensors = new Map([['weight', tensorOf('f32', [2], [1, -70000])]]);
    expect(() => serialiseSafetensors(tensors, {}, { floats: 'f16' })).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: serialiseSafetensors: tensor weight holds -70000 at index 1, beyond ±65504 of half precision
        fix: store the floats as f32]
    `);
  });
});

test('a tensor cannot take the name of the metadata', () => {
  const tensors = new Map([['__metadata__', tensorOf('f32', [], [1])]]);
  expect(() => serialiseSafetensors(tensors, {})).toThrowErrorMatchingInlineSnapshot(
    `[CheckpointError: CheckpointError: serialiseSafetensors: a tensor cannot be named __metadata__]`,
  );
});

describe('malformed files', () => {
  const message = (bytes: Uint8Array): string => {
    try {
      parseSafetensors(bytes, 'run/x.safetensors');
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError);
      return (error as CheckpointError).message;
    }
    return 'no error';
  };

  test('empty', () => {
    expect(message(new Uint8Array(0))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the file is empty
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('shorter than the header size', () => {
    expect(message(new Uint8Array(5))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the file has 5 bytes, but its header size alone takes 8
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('cut within the header', () => {
    expect(message(fileOf({ w: entry('F32', [1], 0, 4) }, 4).subarray(0, 30))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the header ends at byte 62, but the file has 30 bytes
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('cut within the data', () => {
    expect(message(fileOf({ w: entry('F32', [2], 0, 8) }, 5))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the file is truncated: its tensors take 8 bytes, but 5 are there
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('random bytes', () => {
    expect(message(new Uint8Array(64).fill(0xa5))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: not a safetensors file: its first 8 bytes give a header of 11936128518282652000 bytes, the limit is 100000000
        fix: give a .safetensors file"
    `);
  });

  test.each([
    ['# A recipe, and more words', 'weights but a text'],
    ['a\tb\n', 'weights but a text'],
    ['404: Not Found\n', 'weights but a text'],
    ['Zugriff verweigert: schließen', 'weights but a text'],
    ['{"model": {"preset": "x"}}', 'weights but JSON'],
    ['\uFEFF\n [1, 2, 3]', 'weights but JSON'],
    ['\r\n\r\n<!DOCTYPE html><title>Überall</title>', 'weights but an HTML or XML page'],
    ['<svg/>', 'weights but an HTML or XML page'],
  ])('a text that begins with %j', (text, kind) => {
    expect(message(new TextEncoder().encode(text))).toContain(`x.safetensors: this is not ${kind}\n  fix: `);
  });

  test.each([
    ['\x08\x0a\x12\x04udit and more of it', 'weights but a protocol buffer, as ONNX models are'],
    ['\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'weights but a PNG picture'],
    ['\xff\xd8\xff\xe0\0\x10JFIF', 'weights but a JPEG picture'],
    ['\x1f\x8b\x08\0\0\0\0\0\0\x03', 'weights but a gzip archive'],
    ['\x93NUMPY\x01\0v\0', 'weights but an array of NumPy'],
    ['\x89HDF\r\n\x1a\n', 'a safetensors file but an HDF5 file, as of Keras'],
    ['GGUF\x03\0\0\0\0\0', 'a safetensors file but a GGUF file'],
  ])('bytes that begin with %j', (start, kind) => {
    const bytes = Uint8Array.from(start, (char) => char.charCodeAt(0));
    expect(message(bytes)).toContain(`this is not ${kind}\n  fix: `);
  });

  test('a sound file whose size is the first character of another kind', () => {
    for (const size of [0x08, 0x3c, 0x7b]) {
      const json = '{}'.padEnd(size);
      expect(parseSafetensors(fileOf(json, 0)).tensors.size).toBe(0);
      expect(message(fileOf(json, 0).subarray(0, -1))).toContain('the header ends at byte');
    }
  });

  test('a .pt file', () => {
    expect(message(Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: this is not a safetensors file but a zip archive (torch.save writes .pt files as such, np.savez .npz files)
        fix: give a .safetensors file, or convert this one"
    `);
  });

  test('a legacy .pt file', () => {
    expect(message(Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: this is not a safetensors file but a Python pickle (a .pt file as PyTorch wrote it before version 1.6)
        fix: give a .safetensors file, or convert this one"
    `);
  });

  test('a Git LFS pointer', () => {
    const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n');
    expect(message(pointer)).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: this is not weights but a Git LFS pointer: the content itself was not downloaded
        fix: run \`git lfs pull\` where the file lies"
    `);
  });

  test('a header that is not JSON', () => {
    expect(message(fileOf('{"w": ', 0))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the header of 6 bytes is not JSON
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a header that is no object', () => {
    expect(message(fileOf([1], 0))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: the header is JSON, but not an object
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('metadata that is not text', () => {
    expect(message(fileOf({ __metadata__: { step: 7 } }, 0))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: __metadata__ must map text to text
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an entry without offsets', () => {
    expect(message(fileOf({ w: { dtype: 'F32', shape: [1] } }, 4))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: tensor w: data_offsets: expected "data_offsets", received undefined
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an axis of negative length', () => {
    expect(message(fileOf({ w: entry('F32', [-1], 0, 4) }, 4))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: tensor w: shape.0: expected >=0, received -1
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an element type that is not supported', () => {
    expect(message(fileOf({ w: entry('C64', [1], 0, 8) }, 8))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: tensor w has the element type C64, which is not supported
        fix: convert it to one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, F8_E8M0, I64, I32, I16, U64, U32, U16, U8, I8, BOOL"
    `);
  });

  test('a name that is there twice, with other bytes and in another spelling', () => {
    const [a, b] = [entry('U8', [2], 0, 2), entry('U8', [2], 2, 4)].map((one) => JSON.stringify(one));
    for (const again of ['"w"', String.raw`"\u0077"`]) {
      expect(message(fileOf(`{"w":${a},${again}:${b}}`, 4))).toContain('the header names w twice');
    }
  });

  test('offsets that do not match the shape', () => {
    expect(message(fileOf({ w: entry('F32', [2, 3], 0, 20) }, 20))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: tensor w: F32[2,3] takes 24 bytes, but has the bytes 0 to 20
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('overlapping tensors', () => {
    const header = { a: entry('F32', [2], 0, 8), b: entry('F32', [2], 4, 12) };
    expect(message(fileOf(header, 12))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: tensors a and b overlap: bytes 4 to 8 belong to both
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a gap', () => {
    const header = { a: entry('U8', [2], 0, 2), b: entry('U8', [2], 4, 6) };
    expect(message(fileOf(header, 6))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: bytes 2 to 4 between a and b belong to no tensor
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('bytes after the last tensor', () => {
    expect(message(fileOf({ a: entry('U8', [2], 0, 2) }, 5))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: 3 bytes after the last tensor belong to no tensor
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an integer that no signed one of 64 bits holds', () => {
    expect(message(fileOf({ w: entry('U64', [1], 0, 8) }, 8, 0xff))).toMatchInlineSnapshot(`
      "CheckpointError: run/x.safetensors: w: it holds 18446744073709551615 at index 0, beyond the range of signed 64-bit integers
        fix: save it as another element type"
    `);
  });

  test('any change of any file ends in a CheckpointError or a sound result', () => {
    const bytes = new Uint8Array(readFileSync(REFERENCE_FILE));
    const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255), length: fc.nat(bytes.length) });
    fc.assert(
      fc.property(change, ({ at, to, length }) => {
        const changed = bytes.slice(0, length);
        if (at < length) changed[at] = to;
        try {
          parseSafetensors(changed, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('rows of a tensor are read alone', async () => {
  const tensors = new Map<string, HostTensor>([
    ['a', tensorOf('f32', [3, 2], [1, 2, 3, 4, 5, 6])],
    ['b', tensorOf('f32', [1], [7])],
  ]);
  const file = await openSafetensors(bytesInMemory(concatenate(serialiseSafetensors(tensors, {}))), 'x');
  expect(await file.readRows('a', 1, 2)).toEqual(tensorOf('f32', [2, 2], [3, 4, 5, 6]));
  expect(() => file.readRows('a', 2, 2)).toThrow('there are no rows 2 to 3');
});
