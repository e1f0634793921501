/** @file The examples in the docstrings of what the package's entries export: an indented block below a blank line. */
import { join } from 'node:path';
import ts from 'typescript';
import { REPOSITORY, type ShownProgram } from './documents.ts';
import { createProgram } from './examples-project.ts';

/** Entries of programs in Node, by preference where several export a name. */
const ENTRIES = [
  'udit/node',
  'udit',
  ...['graph', 'nn', 'diffusion', 'train', 'evaluate', 'export'].map((name) => `udit/${name}`),
];

/** Values that examples use without saying where they come from; each may use those after it. */
const GIVEN = {
  features: 'const features = [1, 2, 3, 5, 4, 6];',
  images: "const images = tensorOf('f32', [1, 3, 8, 8], new Array<number>(192).fill(0));",
  bytes: "const bytes = await (await import('node:fs/promises')).readFile(bundledModel);",
  network: 'const { network } = saved;',
  saved: "const saved = await (await import('udit/node')).openModel(bundledModel);",
};

export interface DocumentedExample extends ShownProgram {
  readonly entry: string;
  readonly name: string;
}

/** Each is a module: what it needs is imported first, from its own entry if that has it. */
export function docstringExamples(): DocumentedExample[] {
  const files = new Map(ENTRIES.map((entry) => [entry, sourceOf(entry)]));
  // Names and docstrings are found without the types of the language and of Node.
  const program = createProgram([...files.values()], { noLib: true, types: [] });
  const checker = program.getTypeChecker();
  const exported = new Map(
    ENTRIES.map((entry) => {
      const module = checker.getSymbolAtLocation(program.getSourceFile(files.get(entry)!)!)!;
      return [entry, new Map(checker.getExportsOfModule(module).map((symbol) => [symbol.name, symbol]))];
    }),
  );
  const entryOf = (name: string, own: string) =>
    [own, ...ENTRIES].find((entry) => exported.get(entry)!.has(name));
  return ENTRIES.flatMap((entry) =>
    [...exported.get(entry)!].flatMap(([name, symbol]) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      const text = ts.displayPartsToString(target.getDocumentationComment(checker));
      const code = /(?:^|\n)\n((?: {4}.*(?:\n|$))+)/.exec(text)?.[1]?.replaceAll(/^ {4}/gm, '');
      // Formulas stand in such blocks too.
      if (code === undefined || !code.trimEnd().endsWith(';')) return [];
      const whole = withImports(withGiven(code), entry, entryOf);
      return [
        {
          entry,
          name,
          document: `${entry}:${name}`,
          line: 1,
          language: 'ts',
          code: whole,
          output: undefined,
        },
      ];
    }),
  );
}

function sourceOf(entry: string): string {
  const room = entry === 'udit' ? 'index' : `doors/${entry.slice('udit/'.length)}`;
  return join(REPOSITORY, `src/${room}.ts`);
}

const withoutTexts = (code: string): string => code.replaceAll(/'[^']*'|\.\w+/g, '');
const declaredIn = (code: string): Set<string> =>
  new Set([...code.matchAll(/\bconst (?:[{[] ?)?(\w+)/g)].map(([, name]) => name!));
const wordsOf = (code: string): Set<string> => new Set(code.match(/\b[A-Za-z]\w*\b/g));

function withGiven(code: string): string {
  let whole = code;
  for (const [name, value] of Object.entries(GIVEN)) {
    if (wordsOf(withoutTexts(whole)).has(name) && !declaredIn(whole).has(name)) whole = `${value}\n${whole}`;
  }
  return whole;
}

function withImports(
  code: string,
  own: string,
  entryOf: (name: string, own: string) => string | undefined,
): string {
  const declared = declaredIn(code);
  const imports = [...wordsOf(withoutTexts(code))].flatMap((name) => {
    const entry = declared.has(name) ? undefined : entryOf(name, own);
    return entry === undefined ? [] : [`import { ${name} } from '${entry}';`];
  });
  return [...imports, code].join('\n');
}
