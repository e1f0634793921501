/** @file The names that each entry of package.json offers: they are the public interface, and change on purpose only. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { REPOSITORY } from './support/documents.ts';

const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));

/** Entry by its source file. */
const DOORS = new Map(
  Object.entries<{ types: string } | string>(manifest.exports).flatMap(([entry, target]) =>
    typeof target === 'string'
      ? []
      : [[entry, join(REPOSITORY, target.types.replace('./dist/', 'src/').replace('.d.ts', '.ts'))] as const],
  ),
);

const { config } = ts.readConfigFile(join(REPOSITORY, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, REPOSITORY);
const program = ts.createProgram([...DOORS.values()], options);
const checker = program.getTypeChecker();

test.each([...DOORS])('%s offers these names', (_, file) => {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!;
  const names = checker.getExportsOfModule(module).map(({ name }) => name);
  expect(names.sort()).toMatchSnapshot();
});

test('nothing else of the package can be imported', () => {
  expect(Object.keys(manifest.exports)).toEqual([
    ...DOORS.keys(),
    './weights/*',
    './recipes/*',
    './package.json',
  ]);
});
