import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asOrdinaryUser, HAS_PERMISSIONS } from '../../../test/support/ordinary-user.ts';
import { randomKey } from '../../core/random.ts';
import { type ImageFolderOptions, type ImageFolderSamples, openImageFolder } from './image-folder-node.ts';
import { countPerClass, loadBatch } from './samples.ts';
import { splitHeldOut } from './split.ts';

const SIZE = 8;
let workFolder: string;
let root: string;
let options: ImageFolderOptions;

beforeEach(async () => {
  workFolder = await mkdtemp(join(tmpdir(), 'udit-folder-'));
  root = join(workFolder, 'pets');
  options = { imageSize: SIZE, cacheFolder: join(workFolder, 'cache') };
});
afterEach(() => rm(workFolder, { recursive: true }));

/** A picture whose left half is black and whose right half has the given level. */
function halfImage(level: number, width = 16, height = 16): Sharp {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) =>
    Math.floor(i / 3) % width < width / 2 ? 0 : level,
  );
  return sharp(data, { raw: { width, height, channels: 3 } });
}

async function put(name: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(join(root, name)), { recursive: true });
  await writeFile(join(root, name), content);
}

/** A disc on a square of 32×32; hidden black is around it, or with `background`, that level in plain sight. */
async function putDisc(name: string, disc: number, background?: number): Promise<void> {
  const side = 32;
  const pixels = Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [(i % side) - 15.5, Math.floor(i / side) - 15.5];
    if (Math.hypot(x, y) < 12) return [disc, disc, disc, 255];
    return background === undefined ? [0, 0, 0, 0] : [background, background, background, 255];
  });
  const picture = sharp(Uint8Array.from(pixels.flat()), { raw: { width: side, height: side, channels: 4 } });
  await put(name, await picture.png().toBuffer());
}

async function putImage(name: string, level: number): Promise<void> {
  await put(name, await halfImage(level).png().toBuffer());
}

async function putTruncatedJpeg(name: string): Promise<void> {
  const jpeg = await halfImage(200, 64, 64).jpeg().toBuffer();
  await put(name, jpeg.subarray(0, jpeg.length / 2));
}

async function putPets(): Promise<void> {
  await putImage('dog/1.png', 100);
  await putImage('cat/b/deep.png', 150);
  await putImage('cat/a.PNG', 200);
}

/** Error messages with the temporary folder replaced. */
async function messageOf(opening: Promise<unknown>): Promise<string> {
  const error = await opening.then(
    () => new Error('no error'),
    (reason: Error) => reason,
  );
  return error.message.replaceAll(workFolder, '');
}

/** The value in the right half of each picture, as a byte. */
async function levels(dataset: ImageFolderSamples): Promise<number[]> {
  const { x } = await loadBatch(dataset, [...Array(dataset.length).keys()], null);
  return Array.from({ length: dataset.length }, (_, n) =>
    Math.round(127.5 * x.data[n * 3 * SIZE * SIZE + SIZE - 1]! + 127.5),
  );
}

const modes = [
  ['in memory', {}],
  ['decoded on demand', { memoryLimitBytes: 0 }],
] as const;

describe.each(modes)('an image folder, %s', (_, mode) => {
  it('takes folders for classes, in order of name, and images at any depth', async () => {
    await putPets();
    await put('notes.txt', 'not a class');
    await put('cat/readme.md', 'not an image');
    await putImage('.hidden/1.png', 1);
    const dataset = await openImageFolder(root, { ...options, ...mode });
    expect(dataset.classNames).toEqual(['cat', 'dog']);
    expect(dataset.sampleNames).toEqual(['cat/a.PNG', 'cat/b/deep.png', 'dog/1.png']);
    expect([...(await loadBatch(dataset, [0, 1, 2], null)).y.data]).toEqual([0n, 0n, 1n]);
    expect(await levels(dataset)).toEqual([200, 150, 100]);
    expect(dataset.skipped).toEqual([]);
  });

  it('mirrors half of the training pictures and none for evaluation', async () => {
    await putPets();
    const dataset = await openImageFolder(root, { ...options, ...mode });
    const { x } = await loadBatch(dataset, Array(40).fill(2), { key: randomKey(1), nimg: 0 });
    const isMirrored = Array.from({ length: 40 }, (_, n) => x.data[n * 3 * SIZE * SIZE]! > -0.5);
    expect(isMirrored.filter(Boolean).length).toBeGreaterThan(5);
    expect(isMirrored.filter(Boolean).length).toBeLessThan(35);
    const still = await openImageFolder(root, { ...options, ...mode, flip: false });
    const unflipped = await loadBatch(still, Array(40).fill(2), { key: randomKey(1), nimg: 0 });
    expect(unflipped.x).toEqual((await loadBatch(still, Array(40).fill(2), null)).x);
  });

  it('lays pictures with transparency on white, or on another colour, before they are resized', async () => {
    await putDisc('disc/1.png', 0);
    await putDisc('disc/2.png', 0, 255);
    await putDisc('disc/3.png', 0, 0);
    const read = async (chosen: Pick<ImageFolderOptions, 'background'>, index: number) => {
      const dataset = await openImageFolder(root, { ...options, ...mode, ...chosen });
      return (await loadBatch(dataset, [index], null)).x.data;
    };
    const onWhite = await read({}, 0);
    expect(onWhite).toEqual(await read({ background: 'white' }, 1));
    expect([onWhite[0], onWhite[(SIZE / 2) * SIZE + SIZE / 2]]).toEqual([1, -1]);
    expect(await read({ background: '#ffffff' }, 0)).toEqual(onWhite);
    for (const background of ['black', 'drop'] as const) {
      expect(await read({ background }, 0)).toEqual(await read({ background: 'drop' }, 2));
    }
  });

  it('refuses a background that is none', async () => {
    const opening = openImageFolder(root, { ...options, ...mode, background: '#fff' });
    expect(await messageOf(opening)).toMatchInlineSnapshot(`
      "ConfigError: /pets: the background is "#fff"
        fix: use white, black, drop or a colour such as #ff8800"
    `);
  });

  it('names an unreadable image when strict', async () => {
    await putPets();
    await put('cat/text.png', 'only text');
    const read = async () => levels(await openImageFolder(root, { ...options, ...mode, strict: true }));
    expect(await messageOf(read())).toMatchInlineSnapshot(`
      "DataError: /pets: cat/text.png cannot be read: not an image, or of a format that cannot be read
        fix: mend or remove the file, or leave out --strict to skip such images"
    `);
  });

  it('fails when no image of a class can be read', async () => {
    await putPets();
    await put('fish/1.png', 'only text');
    const read = async () => levels(await openImageFolder(root, { ...options, ...mode }));
    expect(await messageOf(read())).toMatchInlineSnapshot(`
      "DataError: /pets: class without a readable image: fish
        fish/1.png  not an image, or of a format that cannot be read
        fix: put images into that folder, or remove it"
    `);
  });
});

describe('unreadable images', () => {
  beforeEach(async () => {
    await putPets();
    await put('cat/text.png', 'only text');
    await putTruncatedJpeg('dog/half.jpg');
    await put('dog/empty.jpg', '');
    await symlink(join(root, 'nowhere.png'), join(root, 'dog', 'link.png'));
  });

  const expected = [
    { name: 'cat/text.png', reason: 'not an image, or of a format that cannot be read' },
    { name: 'dog/empty.jpg', reason: 'the file is empty' },
    { name: 'dog/half.jpg', reason: expect.stringContaining('cut off or damaged') },
    { name: 'dog/link.png', reason: 'the file cannot be opened (ENOENT)' },
  ];

  it('are left out and named, also when the crops come from the cache', async () => {
    for (const expectedProgress of [7, 0]) {
      let progress = 0;
      const dataset = await openImageFolder(root, { ...options, onProgress: () => progress++ });
      expect(progress).toBe(expectedProgress);
      expect(dataset.skipped).toEqual(expected);
      expect(countPerClass(dataset)).toEqual([2, 1]);
      expect(await levels(dataset)).toEqual([200, 150, 100]);
    }
  });

  it('are all listed when strict, also when the crops come from the cache', async () => {
    const strictly = () => messageOf(openImageFolder(root, { ...options, strict: true }));
    const message = await strictly();
    expect(message).toMatchInlineSnapshot(`
      "DataError: /pets: 4 images cannot be read
        cat/text.png   not an image, or of a format that cannot be read
        dog/empty.jpg  the file is empty
        dog/half.jpg   cut off or damaged (corrupt header: VipsJpeg: premature end of JPEG image)
        dog/link.png   the file cannot be opened (ENOENT)
        fix: mend or remove the files, or leave out --strict to skip such images"
    `);
    await openImageFolder(root, options);
    expect(await strictly()).toBe(message);
  });

  it('are replaced by the next of their class and named when met on demand', async () => {
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const dataset = await openImageFolder(root, { ...options, memoryLimitBytes: 0, onWarning });
    expect(dataset.sampleNames).toEqual([
      'cat/a.PNG',
      'cat/b/deep.png',
      'cat/text.png',
      'dog/1.png',
      'dog/empty.jpg',
      'dog/half.jpg',
      'dog/link.png',
    ]);
    expect(await levels(dataset)).toEqual([200, 150, 200, 100, 100, 100, 100]);
    await levels(dataset);
    expect(dataset.skipped.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(expected);
    expect(warnings).toEqual(dataset.skipped.map(({ name, reason }) => `skipped ${name}: ${reason}`));
  });
});

it('training never reads held-out images in place of unreadable ones', async () => {
  const names = Array.from({ length: 30 }, (_, i) => `cat/${i + 10}.png`);
  for (const [i, name] of names.entries()) await putImage(name, 100 + i);
  const open = () => openImageFolder(root, { ...options, memoryLimitBytes: 0 });
  const { training, heldOut } = splitHeldOut(await open(), 0.3);
  // In the folder, an image that is held out follows one that is trained on.
  const broken = names.find(
    (name, i) => training.sampleNames.includes(name) && heldOut.sampleNames.includes(names[i + 1]!),
  )!;
  await put(broken, 'only text');
  const damaged = splitHeldOut(await open(), 0.3).training;
  const index = damaged.sampleNames.indexOf(broken);
  const after = damaged.sampleNames[index + 1]!;
  const batch = await loadBatch(damaged, [index], { key: randomKey(0), nimg: 0 });
  expect(damaged.sampleNames[batch.indices[0]!]).toBe(after);
  const brightest = Math.round(127.5 * Math.max(...batch.x.data) + 127.5);
  expect(brightest).toBe(100 + names.indexOf(after));
});

it('images need not be square', async () => {
  await putPets();
  for (const memoryLimitBytes of [0, 1e6]) {
    const samples = await openImageFolder(root, { ...options, imageSize: '8x16', memoryLimitBytes });
    expect(samples.shape).toEqual([3, 8, 16]);
    const { x } = await loadBatch(samples, [2], null);
    expect(x.shape).toEqual([1, 3, 8, 16]);
    expect([x.data[0], x.data[15]].map((value) => Math.round(127.5 * value! + 127.5))).toEqual([0, 100]);
  }
});

it.skipIf(!HAS_PERMISSIONS)(
  'an image that may not be read is left out, and back once it may (needs permissions of POSIX)',
  async () => {
    await chmod(workFolder, 0o755);
    await putPets();
    await chmod(join(root, 'cat/a.PNG'), 0o000);
    await mkdir(join(workFolder, 'cache'));
    await chmod(join(workFolder, 'cache'), 0o777);
    const closed = await asOrdinaryUser(() => openImageFolder(root, options));
    const reason = 'the file cannot be opened (EACCES)';
    expect(closed.skipped).toEqual([{ name: 'cat/a.PNG', reason }]);
    await chmod(join(root, 'cat/a.PNG'), 0o644);
    expect((await asOrdinaryUser(() => openImageFolder(root, options))).skipped).toEqual([]);
  },
);

describe('how pictures were changed', () => {
  beforeEach(async () => {
    await putDisc('disc/1.png', 0);
    await putDisc('disc/2.png', 0, 255);
    await putDisc('disc/3.png', 100);
    await put('disc/4.png', 'only text');
    await put('disc/5.jpg', await lying().toBuffer());
    await put('disc/6.png', await halfImage(9, 6, 6).png().toBuffer());
    await put('disc/7.png', await halfImage(9, 16, 16).toColourspace('grey16').png().toBuffer());
  });

  const treated = { turned: [3], transparent: [0, 2], clipped: [5], cropped: [3], enlarged: [4] };

  it('is known when they are prepared, and from the cache', async () => {
    for (const expectedProgress of [7, 0]) {
      let progress = 0;
      const dataset = await openImageFolder(root, { ...options, onProgress: () => progress++ });
      expect(progress).toBe(expectedProgress);
      expect(dataset.treated).toEqual(treated);
    }
  });

  it('is known whatever is done about it', async () => {
    const asStored = await openImageFolder(root, { ...options, background: 'drop', orientation: 'ignore' });
    expect(asStored.treated).toEqual(treated);
  });

  it('is not known of pictures that are decoded later', async () => {
    expect((await openImageFolder(root, { ...options, memoryLimitBytes: 0 })).treated).toBeUndefined();
  });
});

/** A picture whose upper half is black, stored on its side with EXIF orientation 6. */
function lying(): Sharp {
  return halfImage(200, 32, 16).jpeg({ quality: 100 }).withMetadata({ orientation: 6 });
}

it.each(modes)('pictures are turned as EXIF says, unless that is to be ignored, %s', async (_, mode) => {
  await put('a/1.jpg', await lying().toBuffer());
  const read = async (chosen: Pick<ImageFolderOptions, 'orientation'>) => {
    const { x } = await loadBatch(await openImageFolder(root, { ...options, ...mode, ...chosen }), [0], null);
    // Top right, bottom left.
    return [SIZE - 1, SIZE * (SIZE - 1)].map((i) => Math.round(127.5 * x.data[i]! + 127.5));
  };
  expect(await read({})).toEqual([0, 200]);
  expect(await read({ orientation: 'follow' })).toEqual([0, 200]);
  expect(await read({ orientation: 'ignore' })).toEqual([200, 0]);
});

it('only files of the given endings are read', async () => {
  await putPets();
  await put('cat/moving.gif', await halfImage(9).gif().toBuffer());
  expect((await openImageFolder(root, options)).sampleNames).toContain('cat/moving.gif');
  const earlier = await openImageFolder(root, { ...options, endings: ['.png'] });
  expect(earlier.sampleNames).toEqual(['cat/a.PNG', 'cat/b/deep.png', 'dog/1.png']);
  expect(earlier.passedOver.files).toEqual([['.gif', 1]]);
});

describe('the cache of crops', () => {
  it('is not used for a file that changed', async () => {
    await putPets();
    await openImageFolder(root, options);
    await putImage('cat/a.PNG', 50);
    await utimes(join(root, 'cat/a.PNG'), 1e9, 1e9);
    expect(await levels(await openImageFolder(root, options))).toEqual([50, 150, 100]);
  });

  it('is not used for another size', async () => {
    await putPets();
    await openImageFolder(root, options);
    const dataset = await openImageFolder(root, { ...options, imageSize: 16 });
    expect((await loadBatch(dataset, [0], null)).x.shape).toEqual([1, 3, 16, 16]);
  });
});

describe('a folder that cannot be used', () => {
  it('is missing', async () => {
    expect(await messageOf(openImageFolder(root, options))).toMatchInlineSnapshot(`
      "DataError: /pets: there is no such folder
        fix: use a folder that holds one folder of images per class, e.g. pets/cat/1.jpg, pets/dog/2.jpg"
    `);
  });

  it('is a file', async () => {
    await put('file', '');
    expect(await messageOf(openImageFolder(join(root, 'file'), options))).toMatchInlineSnapshot(`
      "DataError: /pets/file: this is a file, not a folder
        fix: use a folder that holds one folder of images per class, e.g. pets/cat/1.jpg, pets/dog/2.jpg"
    `);
  });

  it('holds nothing', async () => {
    await mkdir(join(root, 'bird'), { recursive: true });
    await put('__MACOSX/cat/._1.png', '');
    await put('readme', 'no pictures yet');
    expect(await messageOf(openImageFolder(root, options))).toMatchInlineSnapshot(`
      "DataError: /pets: there are no images in it
        files     without ending 1
        __MACOSX  left by macOS in an archive
        bird      empty
        fix: use a folder that holds one folder of images per class, e.g. pets/cat/1.jpg, pets/dog/2.jpg"
    `);
  });

  it('has classes of other files', async () => {
    await putPets();
    await put('fish/readme.md', 'soon');
    expect(await messageOf(openImageFolder(root, options))).toMatchInlineSnapshot(`
      "DataError: /pets: class without a readable image: fish
        fish  holds .md 1
        fix: put images into that folder, or remove it"
    `);
    await put('bird/1.svg', '<svg/>');
    await put('bird/2.SVG', '<svg/>');
    await put('bird/notes', 'soon');
    expect(await messageOf(openImageFolder(root, options))).toMatchInlineSnapshot(`
      "DataError: /pets: classes without a readable image: bird, fish
        bird  holds .svg 2, without ending 1
        fish  holds .md 1
        fix: put images into those folders, or remove them"
    `);
  });

  it('is asked for a size that makes no sense', async () => {
    expect(await messageOf(openImageFolder(root, { ...options, imageSize: 4 }))).toMatchInlineSnapshot(`
      "ConfigError: /pets: the image size is 4
        fix: use a whole number from 8 to 4096, such as 32, 64 or 256"
    `);
  });
});

it('a link that leads nowhere, or to itself, is passed over', async () => {
  await putPets();
  await symlink(join(root, 'nowhere'), join(root, 'fish'));
  await symlink(join(root, 'bird'), join(root, 'bird'));
  expect((await openImageFolder(root, options)).classNames).toEqual(['cat', 'dog']);
});

describe('passed over', () => {
  it('are links to folders above, from any depth', async () => {
    await putPets();
    await symlink(root, join(root, 'cat', 'again'));
    await symlink(workFolder, join(root, 'cat', 'b', 'further'));
    await symlink(join(root, 'cat'), join(root, 'cat', 'b', 'same'));
    await symlink('.', join(root, 'here'));
    const dataset = await openImageFolder(root, options);
    expect(dataset.sampleNames).toEqual(['cat/a.PNG', 'cat/b/deep.png', 'dog/1.png']);
    const reason = 'a link to a folder above it';
    expect(dataset.passedOver.entries).toEqual([
      { name: 'cat/again', reason },
      { name: 'cat/b/further', reason },
      { name: 'cat/b/same', reason },
      { name: 'here', reason },
    ]);
  });

  it('are not links to other folders', async () => {
    await putPets();
    await symlink(join(root, 'dog'), join(root, 'hound'));
    expect((await openImageFolder(root, options)).sampleNames).toContain('hound/1.png');
  });

  it('are folders of programs, empty ones, and what is no picture', async () => {
    await putPets();
    for (const name of ['__MACOSX/cat', 'cat/@eaDir', 'dog/more/lost+found', '$RECYCLE.BIN']) {
      await putImage(`${name}/1.png`, 9);
    }
    await mkdir(join(root, 'bird', 'more'), { recursive: true });
    await put('cat/.DS_Store', '');
    await put('cat/Thumbs.db', '');
    await put('dog/1.svg', '<svg/>');
    await put('2.SVG', '<svg/>');
    await putImage('beside.png', 9);
    const { classNames, sampleNames, passedOver } = await openImageFolder(root, options);
    expect({ classNames, sampleNames, passedOver }).toEqual({
      classNames: ['cat', 'dog'],
      sampleNames: ['cat/a.PNG', 'cat/b/deep.png', 'dog/1.png'],
      passedOver: {
        files: [
          ['.svg', 2],
          ['.db', 1],
        ],
        entries: [
          { name: '$RECYCLE.BIN', reason: 'the waste bin of Windows' },
          { name: '__MACOSX', reason: 'left by macOS in an archive' },
          { name: 'bird', reason: 'empty' },
          { name: 'cat/@eaDir', reason: 'left by a file server' },
          { name: 'dog/more/lost+found', reason: 'a folder of the file system' },
          { name: '.', reason: 'a picture is in no class folder' },
        ],
      },
    });
  });
});

it('pictures without folders are one class, called as their folder', async () => {
  await putImage('2.png', 20);
  await putImage('1.png', 10);
  await put('__MACOSX/._1.png', '');
  const dataset = await openImageFolder(root, options);
  expect([dataset.classNames, dataset.sampleNames]).toEqual([['pets'], ['1.png', '2.png']]);
  expect(await levels(dataset)).toEqual([10, 20]);
});

it('classes have names of any script', async () => {
  for (const name of ['日本', '😀', 'søt', 'кот']) await putImage(`${name}/1.png`, 9);
  expect((await openImageFolder(root, options)).classNames).toEqual(['søt', 'кот', '日本', '😀']);
});
