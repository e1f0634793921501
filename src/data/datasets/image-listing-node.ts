/** @file Which images a folder of class folders holds. */
import type { Stats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, extname, join, resolve, sep } from 'node:path';
import { quoted } from '../../core/command.ts';
import { DataError } from '../../core/errors.ts';
import { isNowhere, systemErrorCode } from '../../host/files/write-error-node.ts';
import { tooManyFilesError } from '../images/image-decode-node.ts';
import { IMAGE_ENDINGS } from '../images/image-formats.ts';

export interface ListedImage {
  /** Path inside the root with `/` between folders, on every platform. */
  readonly name: string;
  readonly path: string;
  /** Index into the class names. */
  readonly label: number;
  readonly bytes: number;
  /** When its content or the permission to read it was changed last. */
  readonly changedMs: number;
}

export interface ImageListing {
  /** Names of the class folders, sorted. */
  readonly classNames: readonly string[];
  /** Sorted by class, then by name. */
  readonly images: readonly ListedImage[];
  readonly passedOver: PassedOver;
}

/** What lies beside the pictures. Names that start with a dot are not mentioned. */
export interface PassedOver {
  /** How many files have an ending that no picture has, by ending in lower case; the most frequent ones first. */
  readonly files: readonly (readonly [ending: string, count: number])[];
  /** Folders that hold no pictures for training, links in a circle, and pictures outside of all classes. */
  readonly entries: readonly SkippedFile[];
}

export const NOTHING_PASSED_OVER: PassedOver = { files: [], entries: [] };

export interface SkippedFile {
  /** Path inside the root. */
  readonly name: string;
  /** One line that says why it is left out. */
  readonly reason: string;
}

/** Folders that programs make of their own accord, with copies or leftovers in them. */
const FOREIGN_FOLDERS: Readonly<Record<string, string>> = {
  __MACOSX: 'left by macOS in an archive',
  '@eaDir': 'left by a file server',
  '#recycle': 'the waste bin of a file server',
  '$RECYCLE.BIN': 'the waste bin of Windows',
  'System Volume Information': 'a folder of Windows',
  'lost+found': 'a folder of the file system',
};

const ONE_FOLDER_PER_CLASS =
  'use a folder that holds one folder of images per class, e.g. pets/cat/1.jpg, pets/dog/2.jpg';

/**
 * Lists `root` as torchvision's `ImageFolder` does: each folder in it is a class, with images at any depth. A root that
 * holds images and no folders is one class of its own name. Names that start with a dot are passed over.
 *
 * @param endings - of the names of images, in lower case
 * @param keepEmpty - a class without images stays, and what its folder holds is passed over
 * @throws {@link DataError} if the root is missing or no folder, a folder cannot be listed, there are no images, or a
 * class has files but no images
 */
export async function listImages(
  root: string,
  endings: readonly string[] = IMAGE_ENDINGS,
  keepEmpty = false,
): Promise<ImageListing> {
  await expectFolder(root);
  const walk = new Walk(root, endings);
  const entries = await readEntries(root);
  const isFolder = ({ status }: Entry) => status.isDirectory();
  const classes: FoundClass[] = [];
  for (const { name, path } of entries.filter(isFolder)) {
    const found = await walk.listClass(name, path);
    if (found !== undefined) classes.push(found);
  }
  const beside = walk.listFiles(entries.filter((entry) => !isFolder(entry)));
  const empty = classes.filter(({ images }) => images.length === 0);
  if (empty.length > 0 && !(keepEmpty && empty.length < classes.length)) throw noPicturesError(root, empty);
  for (const { name, otherFiles } of empty)
    walk.passOver(name, `holds no picture but ${countedEndings(otherFiles)}`);
  if (classes.length === 0) {
    if (beside.length === 0) throw nothingFoundError(root, walk.passedOver);
    classes.push({ name: basename(resolve(root)), images: beside, otherFiles: [] });
  } else if (beside.length > 0) {
    const pictures = beside.length === 1 ? 'a picture is' : `${beside.length} pictures are`;
    walk.passOver('.', `${pictures} in no class folder`);
  }
  return {
    classNames: classes.map(({ name }) => name),
    images: classes.flatMap(({ images }, label) => images.map((image) => ({ ...image, label }))),
    passedOver: walk.passedOver,
  };
}

/** Every class needs a picture: a label that is never trained would still be offered for sampling. */
export function emptyClassError(
  root: string,
  classNames: readonly string[],
  facts: readonly (readonly [label: string, text: string])[] = [],
): DataError {
  return new DataError({
    where: root,
    problem: `${classNames.length === 1 ? 'class' : 'classes'} without a readable image: ${classNames.join(', ')}`,
    facts,
    fix: `put images into ${classNames.length === 1 ? 'that folder' : 'those folders'}, or remove ${classNames.length === 1 ? 'it' : 'them'}`,
  });
}

function noPicturesError(root: string, classes: readonly FoundClass[]): DataError {
  return emptyClassError(
    root,
    classes.map(({ name }) => name),
    classes.map(({ name, otherFiles }) => [name, `holds ${countedEndings(otherFiles)}`]),
  );
}

function nothingFoundError(root: string, { files, entries }: PassedOver): DataError {
  return new DataError({
    where: root,
    problem: 'there are no images in it',
    facts: [
      ...(files.length === 0 ? [] : [['files', countedEndings(files)] as const]),
      ...entries.map(({ name, reason }) => [name, reason] as const),
    ],
    fix: ONE_FOLDER_PER_CLASS,
  });
}

/** `.svg 248, .txt 3, without ending 1` */
export function countedEndings(files: PassedOver['files']): string {
  return files.map(([ending, count]) => `${ending === '' ? 'without ending' : ending} ${count}`).join(', ');
}

type FoundImage = Omit<ListedImage, 'label'>;

interface FoundClass {
  readonly name: string;
  readonly images: readonly FoundImage[];
  readonly otherFiles: PassedOver['files'];
}

/** One way through all folders, which remembers what it passes over. */
class Walk {
  private readonly root: string;
  private readonly endings: ReadonlySet<string>;
  private readonly otherFiles = new Map<string, number>();
  private readonly entries: SkippedFile[] = [];

  constructor(root: string, endings: readonly string[]) {
    this.root = root;
    this.endings = new Set(endings);
  }

  get passedOver(): PassedOver {
    return { files: mostFrequent(this.otherFiles), entries: this.entries };
  }

  passOver(name: string, reason: string): void {
    this.entries.push({ name, reason });
  }

  /** Undefined for a folder without files, and for one that is no class. */
  async listClass(name: string, path: string): Promise<FoundClass | undefined> {
    const [before, passedBefore] = [new Map(this.otherFiles), this.entries.length];
    const images = await this.listFolder(name, path, [await realFolder(this.root)]);
    const otherFiles = mostFrequent(
      new Map([...this.otherFiles].map(([ending, count]) => [ending, count - (before.get(ending) ?? 0)])),
    );
    if (images.length > 0 || otherFiles.length > 0) return { name, images, otherFiles };
    if (this.entries.length === passedBefore) this.passOver(name, 'empty');
    return undefined;
  }

  /** @param ancestors - real paths of the folders above, so that a link to one of them does not go round for ever */
  private async listFolder(name: string, path: string, ancestors: readonly string[]): Promise<FoundImage[]> {
    const foreign = FOREIGN_FOLDERS[basename(name)];
    if (foreign !== undefined) {
      this.passOver(name, foreign);
      return [];
    }
    const real = await realFolder(path);
    if (ancestors.some((ancestor) => ancestor === real || ancestor.startsWith(withSeparator(real)))) {
      this.passOver(name, 'a link to a folder above it');
      return [];
    }
    const images: FoundImage[] = [];
    for (const entry of await readEntries(path)) {
      const entryName = `${name}/${entry.name}`;
      images.push(
        ...(entry.status.isDirectory()
          ? await this.listFolder(entryName, entry.path, [...ancestors, real])
          : this.listFiles([{ ...entry, name: entryName }])),
      );
    }
    return images;
  }

  /** The images among files; the others are counted. */
  listFiles(files: readonly Entry[]): FoundImage[] {
    const isImage = ({ path }: Entry) => this.endings.has(endingOf(path));
    for (const { path } of files.filter((file) => !isImage(file))) {
      const ending = endingOf(path);
      this.otherFiles.set(ending, (this.otherFiles.get(ending) ?? 0) + 1);
    }
    return files
      .filter(isImage)
      .map(({ name, path, status }) => ({ name, path, bytes: status.size, changedMs: status.ctimeMs }));
  }
}

function mostFrequent(counts: ReadonlyMap<string, number>): PassedOver['files'] {
  return [...counts].filter(([, count]) => count > 0).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

function withSeparator(folder: string): string {
  return folder.endsWith(sep) ? folder : folder + sep;
}

function endingOf(path: string): string {
  return extname(path).toLowerCase();
}

function realFolder(path: string): Promise<string> {
  return realpath(path).catch((cause) => {
    throw listingError(path, cause);
  });
}

async function expectFolder(root: string): Promise<void> {
  const status = await stat(root).catch((cause) => {
    if (isNowhere(cause)) return null;
    throw listingError(root, cause);
  });
  if (status?.isDirectory()) return;
  const problem = status === null ? 'there is no such folder' : 'this is a file, not a folder';
  throw new DataError({ where: root, problem, fix: ONE_FOLDER_PER_CLASS, absent: status === null });
}

interface Entry {
  readonly name: string;
  readonly path: string;
  /** Of what it leads to; of itself for a link that leads nowhere. */
  readonly status: Stats;
}

/** What is in `folder`, by name, without what is hidden. */
async function readEntries(folder: string): Promise<Entry[]> {
  try {
    const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
    const entries: Entry[] = [];
    for (const name of names) {
      const path = join(folder, name);
      entries.push({ name, path, status: await followedStatus(path) });
    }
    return entries;
  } catch (cause) {
    throw listingError(folder, cause);
  }
}

async function followedStatus(path: string): Promise<Stats> {
  const status = await lstat(path);
  if (!status.isSymbolicLink()) return status;
  return stat(path).catch((cause) => {
    // An image is found unreadable later, and named; but behind another name may be a whole class.
    if (IMAGE_ENDINGS.includes(endingOf(path)) || isNowhere(cause)) return status;
    throw listingError(path, cause);
  });
}

/** Why a folder that is there cannot be listed. */
function listingError(folder: string, cause: unknown): Error {
  if (cause instanceof DataError) return cause;
  const code = systemErrorCode(cause);
  const failure = (problem: string, fix: string) => new DataError({ where: folder, problem, fix, cause });
  if (code === 'EACCES' || code === 'EPERM') {
    return failure(
      `you may not read this folder (${code})`,
      `allow it, as in chmod -R a+rX ${quoted(folder)}`,
    );
  }
  if (isNowhere(cause)) {
    return failure(
      `it changed while it was listed (${code})`,
      'run the command again when nothing moves or removes the data',
    );
  }
  const unknown = `the folder cannot be read (${code ?? cause})`;
  return tooManyFilesError(folder, cause) ?? failure(unknown, `see what ls -l ${quoted(folder)} says`);
}
