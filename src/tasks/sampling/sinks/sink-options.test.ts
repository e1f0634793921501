import { expect, test } from 'vitest';
import { pngFiles } from './png-files-node.ts';
import { sheetFile } from './sheet-file-node.ts';

test('options of sinks that do not exist or are missing are errors, as on the command line', () => {
  const size = { rows: 1, columns: 2 };
  expect(() => sheetFile('x.png', { ...size, rowLabel: ['a'] } as never)).toThrow('did you mean rowLabels?');
  expect(() => sheetFile('x.png', { rows: 1 } as never)).toThrow('the option columns is missing');
  expect(() => sheetFile('x.png', undefined as never)).toThrow('give an object with rows, columns');
  expect(() => pngFiles([], { note: () => '' } as never)).toThrow('did you mean noteOf?');
});
