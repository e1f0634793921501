import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type TarFile, tarOf } from '../../test/support/tar-writer.ts';
import { bytesInMemory } from './byte-source.ts';
import { tarEntries } from './tar.ts';

const text = (content: string) => new TextEncoder().encode(content);

async function list(archive: Uint8Array): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name, begin, size } of tarEntries(bytesInMemory(archive), 'a.tar')) {
    files[name] = new TextDecoder().decode(archive.subarray(begin, begin + size));
  }
  return files;
}
const errorOf = (archive: Uint8Array) =>
  list(archive).then(
    () => 'no error',
    (error: Error) => error.message,
  );

const files: readonly TarFile[] = [
  { name: '0001.jpg', content: text('a picture') },
  { name: '0001.cls', content: text('7') },
  { name: `${'long/'.repeat(40)}0002.jpg`, content: text('another') },
];

test('files by name, also by names longer than a header has room for', async () => {
  expect(await list(tarOf(files))).toEqual(
    Object.fromEntries(files.map(({ name, content }) => [name, new TextDecoder().decode(content)])),
  );
});

describe('as tar itself writes them', () => {
  test.each(['ustar', 'pax'])('%s', async (format) => {
    const folder = mkdtempSync(join(tmpdir(), 'tar-'));
    try {
      const long = `${'directory/'.repeat(9)}${'n'.repeat(60)}.jpg`;
      const names = ['0001.jpg', 'ü.cls', long];
      for (const name of names) {
        mkdirSync(dirname(join(folder, 'in', name)), { recursive: true });
        writeFileSync(join(folder, 'in', name), `content of ${name}`);
      }
      execFileSync('tar', [
        '-cf',
        join(folder, 'a.tar'),
        `--format=${format}`,
        '-C',
        join(folder, 'in'),
        ...names,
      ]);
      const found = await list(new Uint8Array(readFileSync(join(folder, 'a.tar'))));
      expect(found).toEqual(Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('damaged and cut-off archives', async () => {
  const archive = tarOf(files);
  const altered = archive.slice();
  altered[3]! ^= 1;
  expect(await errorOf(altered)).toMatchInlineSnapshot(`
    "DataError: a.tar: not a sound tar archive: a wrong checksum at byte 0
      fix: the file is damaged, compressed or of another kind: copy it again, or unpack .tar.gz first"
  `);
  const large = tarOf([{ name: 'x', content: new Uint8Array(5000) }]);
  expect(await errorOf(large.subarray(0, 2048))).toMatchInlineSnapshot(`
    "DataError: a.tar: the archive is cut off: the file at byte 0 takes 5000 bytes, but 2048 are all there are
      fix: copy it again"
  `);
});
