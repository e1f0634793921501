/** @file The TypeScript project of examples/, in which `udit` means the sources. A file is parsed once for all programs. */
import { dirname } from 'node:path';
import ts from 'typescript';
import { EXAMPLES_TSCONFIG } from './documents.ts';

const { options, fileNames } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(EXAMPLES_TSCONFIG, ts.sys.readFile).config,
  ts.sys,
  dirname(EXAMPLES_TSCONFIG),
);

/** The programs of examples/. */
export { fileNames as exampleFiles };

const parsed = new Map<string, ts.SourceFile | undefined>();

/** @param added - files that are not on the disk */
export function createProgram(
  roots: readonly string[],
  changes: ts.CompilerOptions = {},
  added: ReadonlyMap<string, string> = new Map(),
): ts.Program {
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => added.has(path) || fileExists.call(host, path);
  host.readFile = (path) => added.get(path) ?? readFile.call(host, path);
  host.getSourceFile = (path, ...rest) => {
    if (!parsed.has(path)) parsed.set(path, getSourceFile.call(host, path, ...rest));
    return parsed.get(path);
  };
  return ts.createProgram(roots, { ...options, ...changes }, host);
}
