import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { readSourceFiles, reportSize } from './source-size.ts';

it('names the files that are too long, longest first, and adds up folders', () => {
  const report = reportSize(
    [
      { path: 'src/core/shape.ts', lines: 40 },
      { path: 'src/networks/denoisers/dit.ts', lines: 121 },
      { path: 'src/networks/denoisers/attention.ts', lines: 100 },
      { path: 'test/support/closeness.ts', lines: 300 },
    ],
    100,
  );
  expect(report.tooLong.map(({ path }) => path)).toEqual([
    'test/support/closeness.ts',
    'src/networks/denoisers/dit.ts',
  ]);
  expect(report.text).toMatchInlineSnapshot(`
    "lines  files  folder
       40      1  src/core
      221      2  src/networks/denoisers
      300      1  test
      561      4  total

    lines  longest files
      300  test/support/closeness.ts
      121  src/networks/denoisers/dit.ts
      100  src/networks/denoisers/attention.ts
       40  src/core/shape.ts

    test/support/closeness.ts: 300 lines, limit 100: find the seam and split it
    src/networks/denoisers/dit.ts: 121 lines, limit 100: find the seam and split it"
  `);
});

it('accepts files of exactly the limit', () => {
  const { text, tooLong } = reportSize([{ path: 'bin/udit.js', lines: 650 }]);
  expect(tooLong).toEqual([]);
  expect(text).toContain('no file is over 650 lines');
});

it('reads hand-written sources only', async () => {
  const root = await mkdtemp(join(tmpdir(), 'udit-size-'));
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await write('src/core/shape.ts', 'one\ntwo\n');
  await write('bench/peer/check.py', 'one\ntwo\nno line break at the end');
  await write('src/engine/onnx/schema/onnx_pb.ts', 'generated\n'.repeat(2000));
  await write('bench/node_modules/left-pad/index.js', 'foreign\n');
  await write('test/fixtures/README.md', 'prose\n');
  await write('dist/core/shape.js', 'built\n');
  expect(await readSourceFiles(root)).toEqual([
    { path: 'bench/peer/check.py', lines: 3 },
    { path: 'src/core/shape.ts', lines: 2 },
  ]);
  await rm(root, { recursive: true });
});
