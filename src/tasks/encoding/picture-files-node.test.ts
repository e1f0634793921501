import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writeFiles } from '../../../test/support/latent-files.ts';
import { writePictureFolder } from '../../../test/support/picture-folder.ts';
import { tarOf } from '../../../test/support/tar-writer.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import type { PictureFiles } from './picture-files.ts';
import { openPictures } from './picture-files-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pictures-'));
});
afterEach(() => rm(folder, { recursive: true }));

const text = (content: string) => new TextEncoder().encode(content);
const errorOf = () =>
  openPictures(folder).then(
    () => 'no error',
    (error: Error) => error.message.replaceAll(folder, 'FOLDER'),
  );
const labelled = ({ names, labels, classNames }: PictureFiles) =>
  Object.fromEntries(names.map((name, i) => [name, classNames[labels[i]!]]));

test('class folders', async () => {
  await writePictureFolder(folder, { classes: ['cat', 'dog'], perClass: 1 });
  const source = await openPictures(folder);
  expect(labelled(source)).toEqual({ 'cat/0.png': 'cat', 'dog/0.png': 'dog' });
  expect(await source.file(1)).toBe(join(folder, 'dog/0.png'));
});

describe('a list of labels', () => {
  const pictures = { 'a.png': text('1'), 'b/c.png': text('2'), 'd, e.png': text('3') };
  test.each([
    ['labels.csv', 'file,label\na.png,cat\nb/c.png,dog\n"d, e.png",cat\n'],
    ['labels.csv', 'a.png,cat\r\nb/c.png,dog\r\n"d, e.png",cat'],
    ['metadata.csv', 'width,file_name,label\n1,a.png,cat\n1,b/c.png,dog\n1,"d, e.png",cat\n'],
    ['labels.json', '{"a.png": "cat", "b/c.png": "dog", "d, e.png": "cat"}'],
    ['dataset.json', '{"labels": [["a.png", "cat"], ["b/c.png", "dog"], ["d, e.png", "cat"]]}'],
    [
      'metadata.jsonl',
      '{"file_name": "a.png", "label": "cat"}\n{"file_name": "b/c.png", "label": "dog"}\n{"file_name": "d, e.png", "label": "cat"}\n',
    ],
  ])('%s', async (name, list) => {
    await writeFiles(folder, { ...pictures, [name]: text(list) });
    const source = await openPictures(folder);
    expect(labelled(source)).toEqual({ 'a.png': 'cat', 'b/c.png': 'dog', 'd, e.png': 'cat' });
    expect(source.recognised).toBe(`pictures with labels in ${name}`);
  });

  test('numbers are classes themselves', async () => {
    await writeFiles(folder, { ...pictures, 'labels.csv': text('a.png,2\nb/c.png,0\n"d, e.png",2\n') });
    const { classNames, labels } = await openPictures(folder);
    expect({ classNames, labels: [...labels] }).toEqual({ classNames: ['0', '1', '2'], labels: [2, 0, 2] });
  });

  test('that does not match, or is none', async () => {
    await writeFiles(folder, { ...pictures, 'labels.csv': text('a.png,2\nx.png,0\n') });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/labels.csv: its 2 labels do not match the 3 pictures in the folder
        without a picture  x.png
        without a label    d, e.png, b/c.png
        fix: name each picture by its path in the folder, with / between folders"
    `);
    await writeFile(join(folder, 'labels.csv'), 'a.png\n');
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/labels.csv: it gives no labels: the line "a.png" has no label
        fix: write a line file,label for each picture into labels.csv, or {"file": label, …} into labels.json"
    `);
  });
});

describe('tar archives of WebDataset', () => {
  const archive = (first: number) =>
    tarOf([
      { name: `n/${first}.jpg`, content: text(`picture ${first}`) },
      { name: `n/${first}.cls`, content: text(String(first % 2)) },
      { name: `n/${first + 1}.json`, content: text(`{"label": ${(first + 1) % 2}, "width": 3}`) },
      { name: `n/${first + 1}.jpg`, content: text(`picture ${first + 1}`) },
    ]);

  test('pictures are read from their place, labels from .cls or .json', async () => {
    await writeFiles(folder, { '000.tar': archive(0), '001.tar': archive(2) });
    const source = await openPictures(folder);
    expect(labelled(source)).toEqual({ '000/n/0': '0', '000/n/1': '1', '001/n/2': '0', '001/n/3': '1' });
    expect(new TextDecoder().decode((await source.file(3)) as Uint8Array)).toBe('picture 3');
    expect((await openPictures(join(folder, '001.tar'))).names).toEqual(['001/n/2', '001/n/3']);
  });

  test('a picture without a label', async () => {
    await writeFiles(folder, { '000.tar': tarOf([{ name: '7.jpg', content: text('x') }]) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/000.tar: 7.jpg: there is no label beside it
        fix: pack a file .cls of the same name with the number of its class, or .json with one of label, cls, class, class_id"
    `);
  });
});

describe('the emoji that come with udit', () => {
  test.each([
    ['emoji', 'emoji of @twemoji/svg', 1870],
    ['emoji-3d', 'emoji of @lobehub/fluent-emoji-3d', 1852],
  ])('%s', async (kind, recognised, count) => {
    const source = await openPictures(kind);
    expect(source.recognised).toContain(recognised);
    expect(source.names).toHaveLength(count);
    const indexOf = (className: string) => source.labels.indexOf(source.classNames.indexOf(className));
    expect(source.hasMirror?.(indexOf('Objects'))).toBe(true);
    expect(source.hasMirror?.(indexOf('Flags'))).toBe(false);
    const { image } = await decodeRgb(await source.file(indexOf('Smileys & Emotion')), [255, 255, 255]);
    expect([...image.data.slice(0, 3)]).toEqual([255, 255, 255]);
  });
});
