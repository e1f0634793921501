/**
 * @file Labelled pictures as files that are still to be decoded: in class folders, in a folder with a list of labels, or in
 * tar archives as WebDataset has them.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { DataError } from '../../core/errors.ts';
import { isEmojiKind } from '../../data/datasets/emoji-node.ts';
import { listImages } from '../../data/datasets/image-listing-node.ts';
import { fileSource } from '../../data/datasets/latents/stored-files-node.ts';
import { IMAGE_ENDINGS } from '../../data/images/image-formats.ts';
import type { ByteSource } from '../../formats/byte-source.ts';
import { type TarEntry, tarEntries } from '../../formats/tar.ts';
import { openEmojiPictures } from './emoji-files-node.ts';
import { classesOf, LABEL_LISTS, type Label, parseLabelList } from './label-list.ts';
import type { PictureFiles } from './picture-files.ts';

/** @throws DataError if there are no pictures, or not a label for each */
export async function openPictures(path: string): Promise<PictureFiles> {
  if (isEmojiKind(path)) return openEmojiPictures(path);
  if (path.endsWith('.tar') && (await stat(path).catch(() => undefined))?.isFile())
    return openTars(path, [path]);
  const names = (await readdir(path).catch(() => [])).sort();
  const archives = names.filter((name) => name.endsWith('.tar'));
  if (archives.length > 0)
    return openTars(
      path,
      archives.map((name) => join(path, name)),
    );
  const list = LABEL_LISTS.find((name) => names.includes(name));
  return list === undefined ? openClassFolders(path) : openListed(path, list);
}

async function openClassFolders(root: string): Promise<PictureFiles> {
  const { classNames, images } = await listImages(root);
  return {
    name: root,
    recognised: 'a folder for each class',
    classNames,
    labels: Int32Array.from(images, ({ label }) => label),
    names: images.map(({ name }) => name),
    identity: images.map(({ name, bytes, changedMs }) => [name, bytes, changedMs]),
    file: async (index) => images[index]!.path,
  };
}

async function openListed(root: string, list: string): Promise<PictureFiles> {
  const where = join(root, list);
  const labels = parseLabelList(await readFile(where, 'utf8'), where);
  const present = (await readdir(root, { recursive: true }))
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => isImage(name));
  const known = new Set(present);
  const names = [...labels.keys()].sort();
  const missing = names.filter((name) => !known.has(name));
  const unlabelled = present.filter((name) => !labels.has(name));
  if (missing.length > 0 || unlabelled.length > 0 || names.length === 0) {
    throw new DataError({
      where,
      problem: `its ${labels.size} labels do not match the ${present.length} pictures in the folder`,
      facts: [
        ...(missing.length === 0 ? [] : [['without a picture', missing.slice(0, 3).join(', ')] as const]),
        ...(unlabelled.length === 0 ? [] : [['without a label', unlabelled.slice(0, 3).join(', ')] as const]),
      ],
      fix: 'name each picture by its path in the folder, with / between folders',
    });
  }
  return {
    ...classesOf(
      names.map((name) => labels.get(name)!),
      where,
    ),
    name: root,
    recognised: `pictures with labels in ${list}`,
    names,
    identity: [...labels],
    file: async (index) => join(root, names[index]!),
  };
}

/** The ending of a file in an archive begins at the first dot of its name: `n01/0007.seg.png` belongs to `n01/0007`. */
function splitName(name: string): [key: string, ending: string] {
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot).toLowerCase()];
}

function isImage(name: string): boolean {
  return !basename(name).startsWith('.') && IMAGE_ENDINGS.includes(extname(name).toLowerCase());
}

interface StoredPicture {
  readonly name: string;
  readonly source: ByteSource;
  readonly entry: TarEntry;
}

async function openTars(root: string, archives: readonly string[]): Promise<PictureFiles> {
  const pictures: StoredPicture[] = [];
  const labels: Label[] = [];
  for (const archive of archives) {
    const source = await fileSource(archive);
    const samples = new Map<string, { picture?: TarEntry; label?: Label }>();
    for await (const entry of tarEntries(source, archive)) {
      const [key, ending] = splitName(entry.name);
      if (basename(key) === '' || basename(key).startsWith('.')) continue;
      const sample = samples.get(key) ?? {};
      samples.set(key, sample);
      if (isImage(entry.name)) sample.picture ??= entry;
      else if (ending === '.cls' || ending === '.json') {
        const text = new TextDecoder().decode(await source.read(entry.begin, entry.begin + entry.size));
        const label =
          ending === '.cls' ? labelIn(text.trim()) : labelInJson(text, `${archive}: ${entry.name}`);
        if (label !== undefined) sample.label ??= label;
      }
    }
    for (const [key, { picture, label }] of samples) {
      if (picture === undefined) continue;
      if (label === undefined) throw noLabel(archive, picture.name);
      pictures.push({ name: `${basename(archive, '.tar')}/${key}`, source, entry: picture });
      labels.push(label);
    }
  }
  if (pictures.length === 0) {
    throw new DataError({
      where: root,
      problem: 'there are no pictures in its tar archives',
      fix: 'pack a picture and a file .cls or .json of the same name for each sample',
    });
  }
  return {
    ...classesOf(labels, root),
    name: root,
    recognised: `tar archives of WebDataset: ${archives.length}`,
    names: pictures.map(({ name }) => name),
    identity: pictures.map(({ name, entry }, i) => [name, entry, labels[i]]),
    file: (index) => {
      const { source, entry } = pictures[index]!;
      return source.read(entry.begin, entry.begin + entry.size);
    },
  };
}

function labelIn(text: string): Label {
  return /^\d+$/.test(text) ? Number(text) : text;
}

const LABEL_KEYS = ['label', 'cls', 'class', 'class_id'];

function labelInJson(text: string, where: string): Label | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError({ where, problem: 'is not valid JSON', fix: 'pack it again', cause });
  }
  if (typeof value === 'number' || typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const object = value as Readonly<Record<string, unknown>>;
  const found = LABEL_KEYS.map((key) => object[key]).find(
    (each) => typeof each === 'number' || typeof each === 'string',
  );
  return found as Label | undefined;
}

function noLabel(archive: string, name: string): DataError {
  return new DataError({
    where: `${archive}: ${name}`,
    problem: 'there is no label beside it',
    fix: `pack a file .cls of the same name with the number of its class, or .json with one of ${LABEL_KEYS.join(', ')}`,
  });
}
