/** @file What the documents show: their programs, what these print, and command lines. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
/** With it, `udit` means the sources. */
export const EXAMPLES_TSCONFIG = join(REPOSITORY, 'examples/tsconfig.json');

/** Everything that users and contributors read, by path in the repository. */
export function documentPaths(): string[] {
  const inDocs = readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' });
  const guides = inDocs.filter((path) => path.endsWith('.md')).map((path) => join('docs', path));
  return ['README.md', 'CONTRIBUTING.md', 'recipes/README.md', ...guides.sort()];
}

export interface CodeBlock {
  readonly document: string;
  /** Of its first line, from 1. */
  readonly line: number;
  /** What follows the fence, such as `ts`; empty if nothing does. */
  readonly language: string;
  readonly code: string;
}

export function codeBlocks(document: string): CodeBlock[] {
  const text = readFileSync(join(REPOSITORY, document), 'utf8');
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: code }) => ({
    document,
    line: text.slice(0, index).split('\n').length + 1,
    language: language!,
    code: code!,
  }));
}

/** A program, and what the block of text right below it says that it prints. */
export interface ShownProgram extends CodeBlock {
  readonly output: string | undefined;
}

export function shownPrograms(): ShownProgram[] {
  return documentPaths().flatMap((document) => {
    const text = readFileSync(join(REPOSITORY, document), 'utf8');
    const blocks = codeBlocks(document);
    return blocks.flatMap((block, i) => {
      if (block.language !== 'ts') return [];
      const next = blocks[i + 1];
      const follows =
        next?.language === 'text' && text.includes(`${block.code}\`\`\`\n\n\`\`\`text\n${next.code}`);
      return [{ ...block, output: follows ? next.code : undefined }];
    });
  });
}

export interface ShownCommand {
  readonly document: string;
  readonly command: string;
}

/** Commands of this project in shell blocks and between backticks. */
export function shownCommands(): ShownCommand[] {
  return documentPaths().flatMap((document) => {
    const text = readFileSync(join(REPOSITORY, document), 'utf8');
    const inBlocks = codeBlocks(document)
      .filter(({ language }) => language === 'sh' || language === '')
      .flatMap(({ code }) => code.split('\n'))
      .map((line) => line.replace(/#.*$/, ''));
    const inProse = [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/`([^`]+)`/g)].map(
      ([, code]) => code!,
    );
    return [...inBlocks, ...inProse]
      .flatMap((line) => line.split('&&'))
      .map((command) => command.replaceAll(/\s+/g, ' ').trim())
      .filter((command) => /^(?:npm|npx|udit) \S/.test(command))
      .map((command) => ({ document, command }));
  });
}
