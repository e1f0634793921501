import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc32c, frameRecord, maskedCrc32c, TensorBoardLog } from './tensorboard.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-tensorboard-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Field number → contents of a message, each as a number or as bytes. */
function parseMessage(bytes: Uint8Array): Record<number, (number | Uint8Array)[]> {
  const reader = new BinaryReader(bytes);
  const fields: Record<number, (number | Uint8Array)[]> = {};
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    fields[field] ??= [];
    if (wireType === WireType.Bit64) fields[field].push(reader.double());
    else if (wireType === WireType.Bit32) fields[field].push(reader.float());
    else if (wireType === WireType.Varint) fields[field].push(Number(reader.int64()));
    else fields[field].push(reader.bytes());
  }
  return fields;
}

/** The messages of an event file, once all checksums are found to be right. */
function parseRecords(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 8, true)).toBe(maskedCrc32c(bytes.subarray(at, at + 8)));
    expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc32c(message));
    messages.push(message);
    at += 12 + length + 4;
  }
  return messages;
}

async function eventFiles(): Promise<string[]> {
  return (await readdir(folder)).sort();
}

async function readEvents(name: string) {
  return parseRecords(new Uint8Array(await readFile(join(folder, name)))).map(parseMessage);
}

const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);
const only = <T>(items: readonly T[] | undefined): T => {
  expect(items).toHaveLength(1);
  return items![0]!;
};

test('an event file begins with its version', async () => {
  new TensorBoardLog(folder, { clockSeconds: () => 1.75e9 }).close();
  const [name] = await eventFiles();
  expect(name).toMatch(/^events\.out\.tfevents\.1750000000\./);
  const event = only(await readEvents(name!));
  expect(event[1]).toEqual([1.75e9]);
  expect(text(only(event[3]))).toBe('brain.Event:2');
});

test('scalars', async () => {
  const log = new TensorBoardLog(folder, { clockSeconds: () => 1.75e9 });
  log.scalars(2 ** 40, { loss: 0.25, 'held-out/loss': Number.NaN });
  const [, event] = await readEvents(only(await eventFiles()));
  log.close();
  expect(event![2]).toEqual([2 ** 40]);
  const values = parseMessage(only(event![5]) as Uint8Array)[1]!.map((bytes) =>
    parseMessage(bytes as Uint8Array),
  );
  expect(values.map((value) => text(only(value[1])))).toEqual(['loss', 'held-out/loss']);
  expect(values.map((value) => only(value[2]))).toEqual([0.25, Number.NaN]);
});

describe('images', () => {
  test.each([
    ['grey', 1, 'b-w'],
    ['RGB', 3, 'srgb'],
    ['RGBA', 4, 'srgb'],
  ] as const)('%s, with the size from the file', async (_, channels, colourspace) => {
    const raw = { width: 7, height: 5, channels };
    const png = await sharp(new Uint8Array(7 * 5 * channels), { raw })
      .toColourspace(colourspace)
      .png()
      .toBuffer();
    const log = new TensorBoardLog(folder);
    log.image(3, 'samples', png);
    log.close();
    const [, event] = await readEvents(only(await eventFiles()));
    const value = parseMessage(only(parseMessage(only(event![5]) as Uint8Array)[1]) as Uint8Array);
    expect(text(only(value[1]))).toBe('samples');
    expect(parseMessage(only(value[4]) as Uint8Array)).toEqual({
      1: [5],
      2: [7],
      3: [channels],
      4: [new Uint8Array(png)],
    });
  });

  test('anything but a PNG is refused', () => {
    const log = new TensorBoardLog(folder);
    expect(() => log.image(1, 'samples', new Uint8Array(100))).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: TensorBoard image samples: the picture is not a PNG file
        fix: encode it as PNG]
    `);
    log.close();
  });
});

describe('resuming', () => {
  test('starts a file that sorts after the earlier ones, even within the same second', async () => {
    const clockSeconds = () => 1.75e9;
    for (const step of [0, 10, 20])
      new TensorBoardLog(folder, { resumedAfterStep: step, clockSeconds }).close();
    const seconds = (await eventFiles()).map((name) => name.split('.')[3]);
    expect(seconds).toEqual(['1750000000', '1750000001', '1750000002']);
  });

  test('voids the steps after the checkpoint', async () => {
    const log = new TensorBoardLog(folder, { resumedAfterStep: 10 });
    log.close();
    const [, event] = await readEvents(only(await eventFiles()));
    expect(event![2]).toEqual([11]);
    expect(parseMessage(only(event![7]) as Uint8Array)).toEqual({ 1: [1] });
  });
});

const ascii = (text: string) => new TextEncoder().encode(text);

// RFC 3720, appendix B.4; the last line is the check value of the CRC catalogue.
describe.each([
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 incrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 decrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ['the digits 1 to 9', ascii('123456789'), 0xe3069283],
])('crc32c of %s', (_, bytes, crc) => {
  test('has the published value', () => {
    expect(crc32c(bytes)).toBe(crc);
  });

  test('is masked by a rotation and an offset, which can be undone', () => {
    const rotated = (maskedCrc32c(bytes) - 0xa282ead8) >>> 0;
    expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc);
  });
});

test('a record is its length, content and both checksums', () => {
  const record = frameRecord(ascii('abc'));
  const view = new DataView(record.buffer);
  expect(record).toHaveLength(8 + 4 + 3 + 4);
  expect(view.getBigUint64(0, true)).toBe(3n);
  expect(view.getUint32(8, true)).toBe(maskedCrc32c(Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)));
  expect(new TextDecoder().decode(record.subarray(12, 15))).toBe('abc');
  expect(view.getUint32(15, true)).toBe(maskedCrc32c(ascii('abc')));
});
