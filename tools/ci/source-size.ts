/** @file Lines per source file and per folder: a file that grows past the limit usually holds two ideas. */
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly lines: number;
}

export interface SizeReport {
  readonly text: string;
  readonly tooLong: readonly SourceFile[];
}

/** Hand-written files may not be longer; STYLE aims at 400 and allows 600. */
export const MAX_LINES = 650;

const SOURCE_FOLDERS = ['src', 'bin', 'test', 'tools', 'bench'];
const SOURCE_EXTENSIONS = new Set(['.ts', '.js', '.mjs', '.cjs', '.py', '.sh']);
const GENERATED = /^src\/engine\/onnx\/schema\//;
const LONGEST_SHOWN = 12;

/** The hand-written source files below `root`, by path. Folders that do not exist count as empty. */
export async function readSourceFiles(root: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const folder of SOURCE_FOLDERS) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    for (const entry of entries) {
      if (!entry.isFile() || !SOURCE_EXTENSIONS.has(extname(entry.name))) continue;
      const location = join(entry.parentPath, entry.name);
      const path = location.slice(root.length + 1).replaceAll('\\', '/');
      if (GENERATED.test(path) || path.includes('/node_modules/')) continue;
      files.push({ path, lines: countLines(await readFile(location, 'utf8')) });
    }
  }
  return files.sort((a, b) => a.path.localeCompare(b.path));
}

/** Totals by folder (districts and their rooms in src), the longest files, and those over `maxLines`. */
export function reportSize(files: readonly SourceFile[], maxLines = MAX_LINES): SizeReport {
  const folders = new Map<string, { files: number; lines: number }>();
  for (const { path, lines } of files) {
    const name = folderOf(path);
    const { files: count, lines: total } = folders.get(name) ?? { files: 0, lines: 0 };
    folders.set(name, { files: count + 1, lines: total + lines });
  }
  const total = files.reduce((sum, { lines }) => sum + lines, 0);
  const longest = [...files].sort((a, b) => b.lines - a.lines);
  const tooLong = longest.filter(({ lines }) => lines > maxLines);
  const text = [
    'lines  files  folder',
    ...[...folders].map(([name, size]) => `${pad(size.lines)}  ${pad(size.files)}  ${name}`),
    `${pad(total)}  ${pad(files.length)}  total`,
    '',
    'lines  longest files',
    ...longest.slice(0, LONGEST_SHOWN).map(({ path, lines }) => `${pad(lines)}  ${path}`),
    '',
    ...(tooLong.length === 0
      ? [`no file is over ${maxLines} lines`]
      : tooLong.map(
          ({ path, lines }) => `${path}: ${lines} lines, limit ${maxLines}: find the seam and split it`,
        )),
  ].join('\n');
  return { text, tooLong };
}

function countLines(text: string): number {
  const breaks = text.split('\n').length - 1;
  return text === '' || text.endsWith('\n') ? breaks : breaks + 1;
}

function folderOf(path: string): string {
  const folders = path.split('/').slice(0, -1);
  return folders.slice(0, folders[0] === 'src' ? 3 : 1).join('/');
}

function pad(value: number): string {
  return String(value).padStart(5);
}
