import { readFileSync } from 'node:fs';
import { strToU8, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { joinBytes } from '../../test/support/torch-writer.ts';
import { DataError } from '../core/errors.ts';
import { type HostTensor, hostTensor, tensorOf } from '../core/host-tensor.ts';
import { parseNpy } from './npy.ts';
import { parseNpz, UNNAMED_ARRAY } from './npz.ts';

const SHAPE = [2, 3, 4];
const COUNT = Array.from({ length: 24 }, (_, i) => i);

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/npz/${name}`, import.meta.url)));

/** The arrays of `test/fixtures/npz/make.py`. */
const ARRAYS: readonly (readonly [string, HostTensor])[] = [
  ['u8', tensorOf('u8', SHAPE, COUNT)],
  [
    'f32',
    tensorOf(
      'f32',
      SHAPE,
      COUNT.map((i) => i / 7),
    ),
  ],
  [
    'f64',
    tensorOf(
      'f64',
      SHAPE,
      COUNT.map((i) => i / 7),
    ),
  ],
  ['f16', tensorOf('f32', SHAPE, COUNT.map(halfOfSeventh))],
  [
    'i32',
    tensorOf(
      'i32',
      SHAPE,
      COUNT.map((i) => i - 12),
    ),
  ],
  [
    'i64',
    hostTensor(
      'i64',
      SHAPE,
      BigInt64Array.from(COUNT, (i) => BigInt(i) + 2n ** 60n),
    ),
  ],
  [
    'bool',
    tensorOf(
      'bool',
      SHAPE,
      COUNT.map((i) => (i % 3 === 0 ? 1 : 0)),
    ),
  ],
  ['scalar', tensorOf('f64', [], [2.5])],
  ['fortran', tensorOf('i32', SHAPE, COUNT)],
];

/** i/7 rounded to the eleven significant bits of a half. */
function halfOfSeventh(i: number): number {
  const unit = 2 ** (Math.floor(Math.log2(i / 7)) - 10);
  return i === 0 ? 0 : Math.round(i / 7 / unit) * unit;
}

describe('files that NumPy wrote', () => {
  test.each(['stored.npz', 'deflated.npz'])('%s gives every array in order', (name) => {
    expect([...parseNpz(fixture(name), name)]).toEqual(ARRAYS);
  });

  test('an array without a name', () => {
    const arrays = parseNpz(fixture('unnamed.npz'), 'unnamed.npz');
    expect([...arrays]).toEqual([[UNNAMED_ARRAY, tensorOf('u8', SHAPE, COUNT)]]);
  });

  test('format version 2', () => {
    expect(parseNpy(fixture('version2.npy'), 'version2.npy')).toEqual(tensorOf('f32', SHAPE, COUNT));
  });
});

describe('malformed files', () => {
  const messageOf = (action: () => unknown): string => {
    try {
      action();
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
      return (error as DataError).message;
    }
    return expect.fail('no error');
  };
  const npy = (bytes: Uint8Array) => messageOf(() => parseNpy(bytes, 'x.npy'));
  const npyWithHeader = (text: string) => {
    const header = `\x93NUMPY\x01\x00${String.fromCharCode(text.length)}\x00${text}`;
    return npy(Uint8Array.from(header, (char) => char.charCodeAt(0)));
  };
  const sound = fixture('version2.npy');

  test('not an archive', () => {
    expect(messageOf(() => parseNpz(strToU8('not a zip'), 'x.npz'))).toMatchInlineSnapshot(`
      "DataError: x.npz: the end of its zip archive is missing: the file is cut off
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a truncated archive', () => {
    const half = fixture('stored.npz').subarray(0, 1500);
    expect(messageOf(() => parseNpz(half, 'x.npz'))).toMatchInlineSnapshot(`
      "DataError: x.npz: the end of its zip archive is missing: the file is cut off
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a header that is cut off before its size', () => {
    expect(npy(sound.subarray(0, 9))).toMatchInlineSnapshot(`
      "DataError: x.npy: the header is cut off after 9 bytes
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a header that is cut off', () => {
    expect(npy(sound.subarray(0, 40))).toMatchInlineSnapshot(`
      "DataError: x.npy: the header ends at byte 128, but the file has 40 bytes
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('values that are cut off', () => {
    expect(npy(sound.subarray(0, -3))).toMatchInlineSnapshot(`
      "DataError: x.npy: an array <f4[2,3,4] takes 96 bytes, but 93 are there
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an unknown version', () => {
    const changed = sound.slice();
    changed[6] = 9;
    expect(npy(changed)).toMatchInlineSnapshot(`
      "DataError: x.npy: format version 9 is unknown: 1 to 3 are read
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a header without its keys', () => {
    expect(npyWithHeader("{'descr': '<f4', }")).toMatchInlineSnapshot(`
      "DataError: x.npy: the header lacks descr, fortran_order or shape: {'descr': '<f4', }
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('big-endian values', () => {
    expect(npyWithHeader("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }")).toMatchInlineSnapshot(`
      "DataError: x.npy: arrays of element type '>f4' are not supported
        fix: convert it with astype to one of |u1 |i1 |b1 <f2 <f4 <f8 <i2 <i4 <i8 <u2 <u4 <u8"
    `);
  });

  test('records', () => {
    expect(
      npyWithHeader("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }"),
    ).toMatchInlineSnapshot(`
      "DataError: x.npy: arrays of element type [('x', '<f4')] are not supported
        fix: convert it with astype to one of |u1 |i1 |b1 <f2 <f4 <f8 <i2 <i4 <i8 <u2 <u4 <u8"
    `);
  });
});

describe('arrays as others write them', () => {
  const npyWith = (text: string, ...values: readonly Uint8Array[]): Uint8Array => {
    const header = `\x93NUMPY\x01\x00${String.fromCharCode(text.length)}\x00${text}`;
    return joinBytes(
      Uint8Array.from(header, (char) => char.charCodeAt(0)),
      ...values,
    );
  };
  const two = (descriptor: string, bytes: readonly number[]) =>
    parseNpy(
      npyWith(`{'descr': '${descriptor}', 'fortran_order': False, 'shape': (2L,), }`, Uint8Array.from(bytes)),
      'x',
    );

  test('integers of all widths, and shapes as Python 2 wrote them', () => {
    expect(two('<i2', [1, 0, 0xfe, 0xff])).toEqual(tensorOf('i32', [2], [1, -2]));
    expect(two('<u2', [1, 0, 0xfe, 0xff])).toEqual(tensorOf('i32', [2], [1, 0xfffe]));
    expect(two('<u4', [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])).toEqual(tensorOf('i64', [2], [1, 0xffffffff]));
    const small = [1, 0, 0, 0, 0, 0, 0, 0];
    expect(two('<u8', [...small, ...small])).toEqual(tensorOf('i64', [2], [1, 1]));
    const large = [...small, ...new Array(8).fill(255)];
    expect(() => two('<u8', large)).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: x: it holds 18446744073709551615 at index 1, beyond the range of signed 64-bit integers
        fix: save it as another element type]
    `);
    expect(() => two('<u8', large)).toThrow(DataError);
  });

  test('shapes that are none', () => {
    for (const shape of ['1 2,', ',', '1,,2', 'L', '1,'.repeat(65)]) {
      const file = npyWith(`{'descr': '|u1', 'fortran_order': False, 'shape': (${shape}), }`);
      expect(() => parseNpy(file, 'x'), shape).toThrow('the header has no shape, but');
    }
  });

  test('values that changed on the disk', () => {
    const archive = fixture('stored.npz').slice();
    archive[archive.length >> 1]! ^= 1;
    expect(() => parseNpz(archive, 'x.npz')).toThrow('the checksum of');
    expect(() => parseNpz(archive, 'x.npz')).toThrow(DataError);
  });

  test('an array packed in a way that is not read, where it is asked for', () => {
    const archive = zipSync({ 'a.npy': fixture('version2.npy') }, { level: 0 });
    const packed = archive.slice();
    const view = new DataView(packed.buffer);
    for (let at = 0; at + 12 < packed.length; at++) {
      if (view.getUint32(at, true) === 0x02014b50) view.setUint16(at + 10, 14, true);
    }
    expect(() => parseNpz(packed, 'x.npz', ['a'])).toThrow('a.npy is compressed by method 14');
  });
});

describe('arrays beside others', () => {
  const npyOf = (text: string): Uint8Array =>
    Uint8Array.from(`\x93NUMPY\x01\x00${String.fromCharCode(text.length)}\x00${text}`, (char) =>
      char.charCodeAt(0),
    );
  const object = npyOf("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
  const text = npyOf("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }");
  const archive = zipSync({
    'object.npy': object,
    'text.npy': text,
    'good.npy': fixture('version2.npy'),
    'notes.txt': new Uint8Array(3),
  });

  test('all are read whose elements can be', () => {
    expect([...parseNpz(archive, 'x.npz').keys()]).toEqual(['good']);
    expect([...parseNpz(archive, 'x.npz', ['good']).keys()]).toEqual(['good']);
  });

  test('others are errors where they are asked for', () => {
    expect(() => parseNpz(archive, 'x.npz', ['text'])).toThrow("x.npz: text: arrays of element type '<U3'");
    expect(() => parseNpz(archive, 'x.npz', ['notes.txt'])).toThrow('it does not begin with');
    expect(() => parseNpz(archive, 'x.npz', ['none'])).toThrow(
      'there is no array none in it, but object.npy',
    );
  });
});
