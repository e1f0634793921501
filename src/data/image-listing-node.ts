/** @file Which images a folder of class folders holds. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DataError } from '../core/errors.ts';
import { IMAGE_EXTENSIONS } from './image-decode-node.ts';

export interface ListedImage {
  /** Path inside the root with `/` between folders, on every platform. */
  readonly name: string;
  readonly path: string;
  /** Index into the class names. */
  readonly label: number;
  readonly bytes: number;
  readonly modifiedMs: number;
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
 * @throws {@link DataError} if the root is missing or no folder, or there are no classes, or one has no images
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
  const names = await readRoot(root);
  const classNames: string[] = [];
  for (const name of names) {
    if ((await statOrNull(join(root, name)))?.isDirectory()) classNames.push(name);
  }
  if (classNames.length > 0) return classNames;
  const imageCount = names.filter(isImageName).length;
  throw new DataError({
    where: root,
    problem: `there are no class folders${imageCount > 0 ? `, but ${imageCount} images directly in it` : ''}`,
    fix: ONE_FOLDER_PER_CLASS,
  });
}

async function readRoot(root: string): Promise<string[]> {
  try {
    return await visibleNames(root);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const problem =
      code === 'ENOENT'
        ? 'there is no such folder'
        : code === 'ENOTDIR'
          ? 'this is a file, not a folder'
          : `the folder cannot be read (${code ?? cause})`;
    throw new DataError({ where: root, problem, fix: ONE_FOLDER_PER_CLASS, cause });
  }
}

/** @param ancestors - real paths of the folders above, so that a link to one of them does not go round for ever */
async function listFiles(
  folder: string,
  name: string,
  ancestors: ReadonlySet<string>,
): Promise<Omit<ListedImage, 'label'>[]> {
  const realFolder = await realpath(folder);
  if (ancestors.has(realFolder)) return [];
  const files: Omit<ListedImage, 'label'>[] = [];
  for (const entry of await visibleNames(folder)) {
    const path = join(folder, entry);
    const entryName = `${name}/${entry}`;
    const status = await statOrNull(path);
    if (status?.isDirectory()) {
      files.push(...(await listFiles(path, entryName, new Set([...ancestors, realFolder]))));
    } else if (isImageName(entry)) {
      // A link to nothing is listed too: it is found unreadable later, and named.
      files.push({ name: entryName, path, bytes: status?.size ?? 0, modifiedMs: status?.mtimeMs ?? 0 });
    }
  }
  return files;
}

async function visibleNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
}

async function statOrNull(path: string) {
  return stat(path).catch(() => null);
}

function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}
