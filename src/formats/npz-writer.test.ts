import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { npzOf } from '../../test/support/npz.ts';
import { type HostTensor, hostTensor, tensorOf } from '../core/host-tensor.ts';
import { type ByteSource, bytesInMemory } from './byte-source.ts';
import { npyHeader } from './npy.ts';
import { parseNpz } from './npz.ts';
import { NpzWriter } from './npz-writer.ts';
import { ZipArchive } from './zip.ts';
import { commentOf } from './zip-records.ts';

const COUNT = Array.from({ length: 24 }, (_, i) => i);
const ARRAYS = new Map<string, HostTensor>([
  ['u8', tensorOf('u8', [2, 3, 4], COUNT)],
  [
    'f32',
    hostTensor(
      'f32',
      [2, 3, 4],
      Float32Array.from(COUNT, (i) => i / 7),
    ),
  ],
  ['f64', tensorOf('f64', [4, 6], COUNT)],
  [
    'i64',
    hostTensor(
      'i64',
      [24],
      BigInt64Array.from(COUNT, (i) => BigInt(i) + 2n ** 60n),
    ),
  ],
  [
    'bool',
    tensorOf(
      'bool',
      [24],
      COUNT.map((i) => i % 2),
    ),
  ],
  ['scalar', tensorOf('f64', [], [2.5])],
  ['empty', tensorOf('f32', [0, 3], [])],
]);

test('comes back, whatever the pieces it was written in', async () => {
  const archive = await npzOf(ARRAYS, 7);
  expect([...parseNpz(archive, 'x')]).toEqual([...ARRAYS]);
  expect(await npzOf(ARRAYS, 1000)).toEqual(archive);
});

test('a comment changes nothing for those who read arrays', async () => {
  const comment = '{"seed": 4, "class": "π"}';
  const archive = await npzOf(ARRAYS, 1000, comment);
  expect([...parseNpz(archive, 'x')]).toEqual([...ARRAYS]);
  expect(commentOf(archive.subarray(-100))).toBe(comment);
  expect(commentOf(await npzOf(ARRAYS))).toBe('');
  expect(commentOf(archive.subarray(0, 100))).toBeUndefined();
});

test('refuses a comment that no archive can have', async () => {
  await expect(npzOf(ARRAYS, 1000, 'x'.repeat(65_536))).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: archive: its comment has 65536 bytes, a zip archive can have 65535
      fix: shorten the facts that it states]
  `);
});

test('is read piece by piece, checksums right', async () => {
  const zip = await ZipArchive.open(bytesInMemory(await npzOf(ARRAYS, 64)), 'x');
  const values = await zip.read('f32.npy', 128);
  expect(new Float32Array(values.slice().buffer)).toEqual(ARRAYS.get('f32')!.data);
});

test('an array is the bytes of np.savez', () => {
  const bytes = readFileSync(new URL('../../test/fixtures/npz/unnamed.npz', import.meta.url));
  const written = Buffer.concat([npyHeader('u8', [2, 3, 4]), Uint8Array.from(COUNT)]);
  expect(bytes.includes(written)).toBe(true);
});

test('goes on after values that are there already', async () => {
  const whole = await npzOf(new Map([...ARRAYS].slice(0, 1)));
  const file = whole.slice();
  const writer = new NpzWriter([{ name: 'u8', dtype: 'u8', shape: [2, 3, 4] }], {
    write: async (bytes, position) => file.set(bytes, position),
    crc32,
  });
  const begin = writer.valuesBegin('u8');
  file.fill(0, 0, begin);
  file.fill(0, begin + 10);
  writer.skip('u8', file.slice(begin, begin + 10));
  await writer.append('u8', Uint8Array.from(COUNT.slice(10)));
  await writer.finish();
  expect(file).toEqual(whole);
});

test('neither more nor fewer values than the shape has', async () => {
  const writer = new NpzWriter([{ name: 'a', dtype: 'u8', shape: [4] }], { write: async () => undefined });
  await writer.append('a', Uint8Array.of(1, 2, 3));
  await expect(writer.finish()).rejects.toThrow('3 of 4 bytes of a');
  await expect(writer.append('a', Uint8Array.of(4, 5))).rejects.toThrow('5 bytes for a, which has 4');
});

describe('beyond 4 GiB', () => {
  const GIB = 2 ** 30;
  /** Nobody looks into the values, so they need not be there. */
  const gibibyte = { length: GIB } as Uint8Array;
  const forms = [
    { name: 'large', dtype: 'u8', shape: [5, GIB] },
    { name: 'behind', dtype: 'u8', shape: [3] },
  ] as const;
  const checksum = () => 7;

  /** What was written, and zeros elsewhere. */
  async function largeArchive(): Promise<ByteSource> {
    const chunks: { readonly bytes: Uint8Array; readonly position: number }[] = [];
    const writer = new NpzWriter(forms, {
      write: async (bytes, position) => {
        if (bytes !== gibibyte) chunks.push({ bytes: bytes.slice(), position });
      },
      crc32: checksum,
    });
    for (let i = 0; i < 5; i++) await writer.append('large', gibibyte);
    await writer.append('behind', Uint8Array.of(1, 2, 3));
    await writer.finish();
    return {
      size: writer.byteLength,
      crc32: checksum,
      read: async (begin, end) => {
        const result = new Uint8Array(end - begin);
        for (const { bytes, position } of chunks) {
          const from = Math.max(begin, position);
          const to = Math.min(end, position + bytes.length);
          if (from < to) result.set(bytes.subarray(from - position, to - position), from - begin);
        }
        return result;
      },
    };
  }

  test('sizes and places are read again', async () => {
    const source = await largeArchive();
    expect(source.size).toBeGreaterThan(5 * GIB);
    const zip = await ZipArchive.open(source, 'x');
    expect([...zip.entries.values()].map(({ name, size }) => [name, size])).toEqual([
      ['large.npy', 5 * GIB + 128],
      ['behind.npy', 131],
    ]);
    expect(await zip.read('behind.npy', 128)).toEqual(Uint8Array.of(1, 2, 3));
  });
});
