/** @file Opens pictures to be evaluated: a folder, an archive of NumPy, or a data set by its name. */
import { readdir, stat } from 'node:fs/promises';
import { extname, join, resolve, sep } from 'node:path';
import { ConfigError, DataError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { type ImageSize, writtenImageSize } from '../../core/image-size.ts';
import { formatShape } from '../../core/shape.ts';
import { ARTWORK_OF, type EmojiKind, openEmoji } from '../../data/datasets/emoji-node.ts';
import { backgroundColour } from '../../data/images/background.ts';
import { centerCrop } from '../../data/images/center-crop.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import { IMAGE_ENDINGS } from '../../data/images/image-formats.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { openNpzFile } from '../../formats/file-node.ts';
import { UNNAMED_ARRAY } from '../../formats/npz.ts';
import type { NpzFile } from '../../formats/npz-file.ts';
import { GRID_FILE, INTERPOLATION_FILE, PREVIEWS_FILE } from '../sampling/sheet-names.ts';
import { LABELS_ARRAY } from '../sampling/sinks/archive-form-node.ts';
import { inBatches, samplesInBatches } from './batches.ts';
import { inPixels, type PictureSource } from './picture-source.ts';

/** Pictures read at once. */
const BATCH = 32;

/** Emoji of a size, without augmentation. */
export async function openDataSet(name: EmojiKind, size: ImageSize): Promise<PictureSource> {
  if (size.height !== size.width) {
    throw new ConfigError({
      where: name,
      problem: `its pictures are square, the samples have ${inPixels(size)} pixels`,
      fix: 'bring the samples to a square size first',
    });
  }
  const imageSize = writtenImageSize(size);
  const samples = await openEmoji({ imageSize, artwork: ARTWORK_OF[name], augment: 'none' });
  return {
    name,
    kind: 'data set',
    count: samples.length,
    size,
    identity: { dataSet: name, imageSize },
    labels: samples.labels,
    doubts: [],
    provenance: { imageSize },
    async *batches(start) {
      for await (const x of samplesInBatches(samples, start, BATCH)) yield toPixels(x);
    },
    close: async () => {},
  };
}

const WHITE = backgroundColour('reference', 'white');
const FORMS_OF_JPEG = new Set(['.jpg', '.jpeg', '.jfif', '.webp', '.avif']);

/** Sheets of pictures that `udit sample` writes beside them. */
const SHEETS: readonly string[] = [GRID_FILE, PREVIEWS_FILE, ...Object.values(INTERPOLATION_FILE)];

/**
 * All pictures in a folder at any depth, by their paths, but for the sheets of `udit sample` among them. The class of a
 * picture is the folder in which it lies.
 *
 * @param crop - the size to which they are cropped and scaled, turned and laid on white as a training sees them; by default
 * they are taken as they are
 * @throws DataError if there are none, or one cannot be read
 * @throws ConfigError if they differ in size and are not cropped
 */
export async function openPictureFolder(name: string, crop?: ImageSize): Promise<PictureSource> {
  const root = resolve(name);
  const files = (await readdir(root, { recursive: true }))
    .filter(
      (file) =>
        IMAGE_ENDINGS.includes(extname(file).toLowerCase()) &&
        !`${sep}${file}`.includes(`${sep}.`) &&
        !SHEETS.includes(file),
    )
    .sort();
  const [first] = files;
  if (first === undefined) {
    throw new DataError({
      where: name,
      problem: 'there are no pictures in this folder',
      fix: `give a folder with files such as 000000.png (read are ${IMAGE_ENDINGS.join(' ')})`,
    });
  }
  const read = async (file: string) => {
    try {
      const path = join(root, file);
      if (crop === undefined) return (await decodeRgb(path, null, 'ignore')).image;
      return centerCrop((await decodeRgb(path, WHITE, 'follow')).image, crop);
    } catch (cause) {
      throw new DataError({
        where: join(name, file),
        problem: `the picture cannot be read: ${(cause as Error).message}`,
        fix: 'mend or remove it',
        cause,
      });
    }
  };
  const { height, width } = await read(first);
  const size = { height, width };
  const folders = files.map((file) => file.slice(0, file.lastIndexOf(sep) + 1));
  const classes = [...new Set(folders)];
  const lossy = files.filter((file) => FORMS_OF_JPEG.has(extname(file).toLowerCase())).length;
  const states = await Promise.all(files.map((file) => stat(join(root, file))));
  return {
    name,
    kind: 'folder',
    count: files.length,
    size,
    identity: {
      ...{ folder: root, files: files.map((file, i) => [file, states[i]!.size, states[i]!.mtimeMs]) },
      ...(crop && { crop }),
    },
    labels: classes.length > 1 ? folders.map((folder) => classes.indexOf(folder)) : undefined,
    doubts:
      lossy === 0
        ? []
        : [
            `${lossy} of ${files.length} pictures in ${name} are of a format with losses, such as JPEG: they change FID by whole points`,
          ],
    provenance:
      crop === undefined ? {} : { prepared: `${inPixels(crop)} pixels, cropped and scaled as in training` },
    async *batches(start) {
      const bytes = height * width * 3;
      for (let begin = start; begin < files.length; begin += BATCH) {
        const names = files.slice(begin, begin + BATCH);
        const data = new Uint8Array(names.length * bytes);
        const images = await Promise.all(names.map(read));
        for (const [i, image] of images.entries()) {
          if (image.height !== height || image.width !== width) {
            throw new ConfigError({
              where: name,
              problem: `${first} has ${inPixels(size)} pixels, ` + `${names[i]} ${inPixels(image)}`,
              fix:
                'bring all pictures to one size first: how that is done changes every score; ' +
                '--crop-reference does with a reference what udit train does',
            });
          }
          data.set(image.data, i * bytes);
        }
        yield hostTensor('u8', [names.length, height, width, 3], data);
      }
    },
    close: async () => {},
  };
}

/** `arr_0` of an archive as ADM's and DiT's programs write it, u8 [N, H, W, 3]; with `labels` [N] the classes. */
export async function openArchive(name: string): Promise<PictureSource> {
  const file = await openNpzFile(name);
  try {
    const array = await file.array(UNNAMED_ARRAY);
    const [count = 0, height = 0, width = 0, channels] = array.shape;
    const start = count === 0 ? undefined : await array.read(0, 1);
    if (array.shape.length !== 4 || channels !== 3 || start?.dtype !== 'u8') {
      throw new DataError({
        where: name,
        problem: `${UNNAMED_ARRAY} is ${start?.dtype ?? ''}${formatShape(array.shape)}, pictures are u8[N,H,W,3]`,
        fix: 'give an archive of pictures as udit sample --npz or ADM writes it',
      });
    }
    const state = await stat(name);
    return {
      name,
      kind: 'archive',
      count,
      size: { height, width },
      identity: { archive: resolve(name), bytes: state.size, changedMs: state.mtimeMs },
      labels: await labelsOf(file),
      doubts: [],
      provenance: {},
      batches: (begin) =>
        inBatches({ start: begin, count, size: BATCH }, (from, to) => array.read(from, to)) as AsyncGenerator<
          HostTensor<'u8'>
        >,
      close: file.close,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The class of each picture of an archive, where it tells. */
export async function labelsOf(file: NpzFile): Promise<number[] | undefined> {
  if (!file.names.includes(LABELS_ARRAY)) return undefined;
  return Array.from((await (await file.array(LABELS_ARRAY)).read()).data, Number);
}
