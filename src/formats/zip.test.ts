import { readFileSync } from 'node:fs';
import { strToU8, type Zippable, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../core/errors.ts';
import { type ByteSource, bytesInMemory } from './byte-source.ts';
import { ZipArchive } from './zip.ts';

const FILES = {
  'a/first': Uint8Array.from({ length: 300 }, (_, i) => i),
  'a/empty': new Uint8Array(0),
  'a/text': strToU8('text '.repeat(50)),
};
/** Where the records of `zipSync` keep what the tests change. */
const LOCAL = { method: 8, size: 22, nameLength: 26, extraLength: 28, name: 30 } as const;
const DIRECTORY = { flags: 8, method: 10, crc: 16, storedSize: 20, size: 24, offset: 42, name: 46 } as const;
const END = { count: 10, bytes: 12, begin: 16, comment: 20 } as const;
const END_BYTES = 22;

const pack = (files: Zippable = FILES, level: 0 | 6 = 0): Uint8Array => zipSync(files, { level });
const open = (bytes: Uint8Array): Promise<ZipArchive> => ZipArchive.open(bytesInMemory(bytes), 'x.pt');

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset);
const endOf = (bytes: Uint8Array): number => bytes.length - END_BYTES;
/** Where the directory's record of `name` begins. */
function recordOf(bytes: Uint8Array, name: string): number {
  const view = viewOf(bytes);
  let at = view.getUint32(endOf(bytes) + END.begin, true);
  while (new TextDecoder().decode(bytes.subarray(at + DIRECTORY.name).subarray(0, name.length)) !== name) {
    at += DIRECTORY.name + view.getUint16(at + 28, true) + view.getUint16(at + 30, true);
  }
  return at;
}

/** An archive with one 16- or 32-bit number of it changed. */
function changed(
  place: (bytes: Uint8Array) => number,
  value: number,
  { bits = 32, archive = pack() }: { bits?: 16 | 32; archive?: Uint8Array } = {},
): Uint8Array {
  const view = viewOf(archive);
  if (bits === 16) view.setUint16(place(archive), value, true);
  else view.setUint32(place(archive), value, true);
  return archive;
}

async function messageOf(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message;
}

const openingProblem = (bytes: Uint8Array) => messageOf(open(bytes));
const readingProblem = async (bytes: Uint8Array, name = 'a/first', ...range: number[]) =>
  messageOf((await open(bytes)).read(name, ...range));

describe('reading', () => {
  test.each([0, 6] as const)('whole entries and parts of them, at level %i', async (level) => {
    const archive = await open(pack(FILES, level));
    expect([...archive.entries.values()].map(({ name, size }) => [name, size])).toEqual(
      Object.entries(FILES).map(([name, { length }]) => [name, length]),
    );
    for (const [name, content] of Object.entries(FILES)) {
      const end = Math.min(8, content.length);
      expect(await archive.read(name, end >> 1, end)).toEqual(content.subarray(end >> 1, end));
      expect(await archive.read(name)).toEqual(content);
    }
  });

  test('what is stored is not copied', async () => {
    const bytes = pack();
    expect((await (await open(bytes)).read('a/first')).buffer).toBe(bytes.buffer);
  });

  test('an archive with a comment, an empty one, and one with 64-bit records', async () => {
    const commented = new Uint8Array([...pack(), ...strToU8('made by hand')]);
    viewOf(commented).setUint16(commented.length - 12 - 2, 12, true);
    expect((await open(commented)).entries.size).toBe(3);
    expect((await open(pack({}))).entries.size).toBe(0);
    const pytorch = new URL('../../test/fixtures/checkpoints/exotic.pt', import.meta.url);
    const archive = await open(new Uint8Array(readFileSync(pytorch)));
    expect(new TextDecoder().decode(await archive.read('exotic/version'))).toBe('3\n');
  });

  test('a size in the 64-bit extension of an entry', async () => {
    const extension = new Uint8Array(new BigUint64Array([300n, 300n]).buffer);
    const archive = pack({ 'a/first': [FILES['a/first'], { extra: { 1: extension } }] });
    for (const size of [DIRECTORY.size, DIRECTORY.storedSize]) {
      changed((bytes) => recordOf(bytes, 'a/first') + size, 0xffffffff, { archive });
    }
    expect(await (await open(archive)).read('a/first')).toEqual(FILES['a/first']);
  });
});

describe('a damaged directory', () => {
  const first = (field: number) => (bytes: Uint8Array) => recordOf(bytes, 'a/first') + field;
  const end = (field: number) => (bytes: Uint8Array) => endOf(bytes) + field;

  test('a file that is cut off', async () => {
    expect(await openingProblem(pack().subarray(0, -1))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: the end of its zip archive is missing: the file is cut off
        fix: the file is damaged: copy or write it again"
    `);
    expect(await openingProblem(new Uint8Array(0))).toContain('the file is cut off');
  });

  test('a directory outside the file', async () => {
    expect(await openingProblem(changed(end(END.begin), 2 ** 31))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory takes 158 bytes from byte 2147483648, but ends before byte 818
        fix: the file is damaged: copy or write it again"
    `);
    expect(await openingProblem(changed(end(END.bytes), 2 ** 31))).toContain('takes 2147483648 bytes');
  });

  test('no directory where it should be', async () => {
    expect(await openingProblem(changed(end(END.begin), 0))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory is broken at entry 0 of 3
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('another number of entries', async () => {
    expect(await openingProblem(changed(end(END.count), 7, { bits: 16 }))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory has 3 entries, and says 7
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a name that leaves the directory', async () => {
    const last = (bytes: Uint8Array) => recordOf(bytes, 'a/text') + 28;
    expect(await openingProblem(changed(last, 500, { bits: 16 }))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory is cut off in entry 2 of 3
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a name twice', async () => {
    const bytes = pack({ 'a/1': FILES['a/first'], 'a/2': FILES['a/text'] });
    bytes[recordOf(bytes, 'a/2') + DIRECTORY.name + 2] = 0x31;
    expect(await openingProblem(bytes)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory names a/1 twice
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('an encrypted entry', async () => {
    expect(await readingProblem(changed(first(DIRECTORY.flags), 1, { bits: 16 }))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/first is encrypted
        fix: unpack it, then pack it without encryption"
    `);
  });

  test('another compression', async () => {
    expect(await readingProblem(changed(first(DIRECTORY.method), 93, { bits: 16 }))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/first is compressed by method 93: only 0 (stored) and 8 (deflated) are supported
        fix: unpack and pack it again by one of them"
    `);
  });

  test('sizes that do not agree', async () => {
    expect(await openingProblem(changed(first(DIRECTORY.size), 299))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/first is stored as it is, but in 300 bytes instead of 299
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('entries that overlap', async () => {
    const archive = changed(first(DIRECTORY.size), 400);
    expect(
      await openingProblem(changed(first(DIRECTORY.storedSize), 400, { archive })),
    ).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/first reaches from byte 0 to byte 430, but the next part of the archive begins at byte 337
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('two entries in the same place', async () => {
    const second = (bytes: Uint8Array) => recordOf(bytes, 'a/text') + DIRECTORY.offset;
    expect(await openingProblem(changed(second, 0))).toContain('but the next part of the archive begins at');
  });

  test('a directory that is far too large', async () => {
    const source = { size: 2 ** 30, read: async (begin: number, until: number) => tailOf(begin, until) };
    const tail = new Uint8Array(END_BYTES);
    viewOf(tail).setUint32(0, 0x06054b50, true);
    viewOf(tail).setUint32(END.bytes, 2 ** 29, true);
    const tailOf = (begin: number, until: number): Uint8Array => {
      const bytes = new Uint8Array(until - begin);
      bytes.set(tail, bytes.length - END_BYTES);
      return bytes;
    };
    expect(await messageOf(ZipArchive.open(source, 'x.pt'))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory takes 536870912 bytes, the limit is 16777216
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a record of 64-bit numbers that is not there', async () => {
    const path = new URL('../../test/fixtures/checkpoints/exotic.pt', import.meta.url);
    const bytes = new Uint8Array(readFileSync(path));
    viewOf(bytes).setUint32(bytes.length - END_BYTES - 12, 5, true);
    expect(await openingProblem(bytes)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip directory has no 64-bit record at byte 5
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a bomb', async () => {
    const archive = pack({ bomb: new Uint8Array(1000) }, 6);
    const bytes = changed((b) => recordOf(b, 'bomb') + DIRECTORY.size, 0xfffffff0, { archive });
    expect(await openingProblem(bytes)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its zip archive would take 4294967280 bytes in memory, the limit is 67110720 for a file of 116
        fix: where you trust the file, load it in PyTorch and save it again with each tensor cloned"
    `);
  });
});

test('a checksum of 0 was never computed, whole, in part or compressed', async () => {
  for (const level of [0, 6] as const) {
    const bytes = changed((b) => recordOf(b, 'a/first') + DIRECTORY.crc, 0, { archive: pack(FILES, level) });
    expect(await (await open(bytes)).read('a/first', 0, 3)).toEqual(FILES['a/first'].subarray(0, 3));
    expect(await (await open(bytes)).read('a/first')).toEqual(FILES['a/first']);
  }
});

describe('a damaged entry', () => {
  test('content that was changed, read whole or in part', async () => {
    const damage = (): Uint8Array => {
      const bytes = pack();
      bytes[LOCAL.name + 'a/first'.length + 5]! ^= 1;
      return bytes;
    };
    expect(await readingProblem(damage())).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: the checksum of a/first is 5af94e37, the archive says it should be 3abcfcee
        fix: the file is damaged: copy or write it again"
    `);
    expect(await readingProblem(damage(), 'a/first', 100, 101)).toContain('the checksum of a/first is');
  });

  test('a header that is another', async () => {
    expect(await readingProblem(changed(() => LOCAL.name, 0))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: the zip directory puts a/first at byte 0, where it is not
        fix: the file is damaged: copy or write it again"
    `);
    expect(await readingProblem(changed(() => LOCAL.method, 8, { bits: 16 }))).toContain('where it is not');
    expect(await readingProblem(changed(() => 0, 0))).toContain('where it is not');
  });

  test('content that its header pushes into the next entry', async () => {
    const bytes = changed(() => LOCAL.extraLength, 40, { bits: 16 });
    expect(await readingProblem(bytes)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/first takes 300 bytes from byte 77, but ends before byte 337
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('compressed content that is damaged or cut off', async () => {
    const archive = pack({ 'a/text': FILES['a/text'] }, 6);
    const content = LOCAL.name + 'a/text'.length;
    expect(
      await readingProblem(
        changed(() => content, 0xffffffff, { archive }),
        'a/text',
      ),
    ).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a/text cannot be decompressed: invalid block type
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('compressed content of another size', async () => {
    for (const [size, message] of [
      [249, 'a/text unpacks to at least 250 bytes, the archive says 249'],
      [251, 'a/text unpacks to 250 bytes, the archive says 251'],
    ] as const) {
      const archive = pack({ 'a/text': FILES['a/text'] }, 6);
      const bytes = changed((b) => recordOf(b, 'a/text') + DIRECTORY.size, size, { archive });
      expect(await readingProblem(bytes, 'a/text')).toContain(message);
    }
  });

  test('compressed content that goes on and on is given up early', async () => {
    const archive = pack({ bomb: new Uint8Array(2 ** 25) }, 6);
    const bytes = changed((b) => recordOf(b, 'bomb') + DIRECTORY.size, 1000, { archive });
    const memory = bytesInMemory(bytes);
    let bytesRead = 0;
    const source: ByteSource = {
      size: bytes.length,
      read: (begin, until) => {
        bytesRead += until - begin;
        return memory.read(begin, until);
      },
    };
    const opened = await ZipArchive.open(source, 'x.pt');
    bytesRead = 0;
    expect(await messageOf(opened.read('bomb'))).toContain('the archive says 1000');
    expect(bytesRead).toBeLessThan(bytes.length / 3);
  });

  test('another checksum of compressed content', async () => {
    const archive = pack(FILES, 6);
    const bytes = changed((b) => recordOf(b, 'a/first') + DIRECTORY.crc, 1, { archive });
    expect(await readingProblem(bytes)).toContain('the archive says it should be 00000001');
  });
});
