/** @file Which images a folder of class folders holds. */
import type { Stats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DataError } from '../../core/errors.ts';
import { quoted } from '../../core/printable.ts';
import { systemErrorCode } from '../../host/files/write-error-node.ts';
import { IMAGE_EXTENSIONS, tooManyFilesError } from '../images/image-decode-node.ts';

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
}

const ONE_FOLDER_PER_CLASS =
  'use a folder that holds one folder of images per class, e.g. pets/cat/1.jpg, pets/dog/2.jpg';

/**
 * Lists `root` as torchvision's `ImageFolder` does: each folder in it is a class, with images at any depth. Names that
 * start with a dot are passed over.
 *
 * @throws {@link DataError} if the root is missing or no folder, a folder cannot be listed, there are no classes, or one
 * has no images
 */
export async function listImages(root: string): Promise<ImageListing> {
  const classNames = await listClasses(root);
  const images: ListedImage[] = [];
  const emptyClasses: string[] = [];
  for (const [label, className] of classNames.entries()) {
    const files = await listFiles(join(root, className), className, new Set());
    if (files.length === 0) emptyClasses.push(className);
    for (const file of files) images.push({ ...file, label });
  }
  if (emptyClasses.length > 0) throw emptyClassError(root, emptyClasses);
  return { classNames, images };
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

async function listClasses(root: string): Promise<string[]> {
  await expectFolder(root);
  const entries = await readEntries(root);
  const classNames = entries.filter(({ status }) => status.isDirectory()).map(({ name }) => name);
  if (classNames.length > 0) return classNames;
  const imageCount = entries.filter(({ name }) => isImageName(name)).length;
  throw new DataError({
    where: root,
    problem: `there are no class folders${imageCount > 0 ? `, but ${imageCount} images directly in it` : ''}`,
    fix: ONE_FOLDER_PER_CLASS,
  });
}

async function expectFolder(root: string): Promise<void> {
  const status = await stat(root).catch((cause) => {
    if (isNowhere(cause)) return null;
    throw listingError(root, cause);
  });
  if (status?.isDirectory()) return;
  const problem = status === null ? 'there is no such folder' : 'this is a file, not a folder';
  throw new DataError({ where: root, problem, fix: ONE_FOLDER_PER_CLASS });
}

/** @param ancestors - real paths of the folders above, so that a link to one of them does not go round for ever */
async function listFiles(
  folder: string,
  name: string,
  ancestors: ReadonlySet<string>,
): Promise<Omit<ListedImage, 'label'>[]> {
  const realFolder = await realpath(folder).catch((cause) => {
    throw listingError(folder, cause);
  });
  if (ancestors.has(realFolder)) return [];
  const files: Omit<ListedImage, 'label'>[] = [];
  for (const { name: entry, path, status } of await readEntries(folder)) {
    const entryName = `${name}/${entry}`;
    if (status.isDirectory()) {
      files.push(...(await listFiles(path, entryName, new Set([...ancestors, realFolder]))));
    } else if (isImageName(entry)) {
      files.push({ name: entryName, path, bytes: status.size, changedMs: status.ctimeMs });
    }
  }
  return files;
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
    if (isImageName(path) || isNowhere(cause)) return status;
    throw listingError(path, cause);
  });
}

function isNowhere(cause: unknown): boolean {
  const code = systemErrorCode(cause);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
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

function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}
