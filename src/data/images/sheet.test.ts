import { describe, expect, it } from 'vitest';
import { tensorOf, zeros } from '../../core/host-tensor.ts';
import { cropImage, filledImage, type PixelImage } from './pixel-image.ts';
import { classLabel, drawSheet, joinSheets, sheetLegend } from './sheet.ts';

/** `count` grey pictures of 2×1 pixels: 10·n and 10·n + 5. */
const pictures = (count: number) =>
  tensorOf(
    'u8',
    [count, 1, 2, 1],
    Array.from({ length: 2 * count }, (_, i) => 5 * i),
  );

const pixelAt = (sheet: PixelImage, row: number, column: number) => {
  const start = (row * sheet.width + column) * 3;
  return [...sheet.data.subarray(start, start + 3)];
};

const PADDING = 6;

describe('drawSheet', () => {
  it('puts pictures row by row, each pixel enlarged to a square', () => {
    const sheet = drawSheet(pictures(5), { columns: 3, scale: 4 });
    expect([sheet.width, sheet.height]).toEqual([3 * (8 + PADDING) + PADDING, 2 * (4 + PADDING) + PADDING]);
    for (let n = 0; n < 5; n++) {
      const left = PADDING + (n % 3) * (8 + PADDING);
      const top = PADDING + Math.floor(n / 3) * (4 + PADDING);
      for (let row = 0; row < 4; row++) {
        const seen = Array.from({ length: 8 }, (_, column) => pixelAt(sheet, top + row, left + column)[0]);
        expect(seen).toEqual([...Array(4).fill(10 * n), ...Array(4).fill(10 * n + 5)]);
      }
      expect(pixelAt(sheet, top, left - 1)).toEqual([255, 255, 255]);
      expect(pixelAt(sheet, top + 4, left)).toEqual([255, 255, 255]);
    }
  });

  it('keeps colours', () => {
    const sheet = drawSheet(tensorOf('u8', [1, 1, 1, 3], [10, 20, 30]), { columns: 1, scale: 1 });
    expect(pixelAt(sheet, PADDING, PADDING)).toEqual([10, 20, 30]);
  });

  it('enlarges small pictures and leaves large ones', () => {
    const widthOf = (size: number) =>
      drawSheet(zeros('u8', [1, size, size, 1]), { columns: 1 }).width - 2 * PADDING;
    expect([32, 64, 128, 256].map(widthOf)).toEqual([96, 128, 128, 256]);
  });

  it('writes each label beside the middle of its row, and nothing into the pictures', () => {
    const images = tensorOf('u8', [2, 32, 32, 1], Array(2 * 32 * 32).fill(255));
    const sheet = drawSheet(images, { columns: 1, scale: 2, rowLabels: ['a cat', ''] });
    const darkRows = new Set<number>();
    for (let row = 0; row < sheet.height; row++) {
      for (let column = 0; column < sheet.width; column++) {
        if (pixelAt(sheet, row, column)[0] === 255) continue;
        darkRows.add(row);
        expect(column).toBeLessThan(sheet.width - 64 - 2 * PADDING);
      }
    }
    const middle = PADDING + 32;
    expect(Math.min(...darkRows)).toBeGreaterThan(middle - 14);
    expect(Math.max(...darkRows)).toBeLessThan(middle + 14);
  });

  it('breaks long labels between words', () => {
    const images = zeros('u8', [1, 64, 64, 1]);
    const widthWith = (label: string) =>
      drawSheet(images, { columns: 1, scale: 1, rowLabels: [label] }).width;
    expect(widthWith('a label of many words in a row')).toBeLessThan(
      widthWith('a_label_of_many_words_in_a_row'),
    );
  });

  it('does not run over the sheet when a row is lower than a line of text', () => {
    const sheet = drawSheet(pictures(1), { columns: 1, scale: 1, rowLabels: ['Smileys & Emotion'] });
    expect(sheet.data.length).toBe(sheet.width * sheet.height * 3);
  });
});

describe('a sheet that cannot be drawn', () => {
  it('has pictures of another shape', () => {
    expect(() => drawSheet(zeros('u8', [1, 2, 2, 4]), { columns: 1 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: drawSheet: pictures are u8[N,H,W,C] with 1 or 3 channels and N at least 1, these are [1,2,2,4]]`,
    );
  });

  it('has no columns, or half pixels', () => {
    expect(() => drawSheet(pictures(2), { columns: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: drawSheet: columns is 0
        fix: use a whole number from 1]
    `);
    expect(() => drawSheet(pictures(2), { columns: 1, scale: 1.5 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: drawSheet: scale is 1.5
        fix: use a whole number from 1]
    `);
  });

  it('has another number of labels than rows', () => {
    const options = { columns: 2, rowLabels: ['cat'] };
    expect(() => drawSheet(pictures(4), options)).toThrowErrorMatchingInlineSnapshot(
      `[ConfigError: ConfigError: drawSheet: 1 row labels for 2 rows of 2 pictures]`,
    );
  });
});

describe('joinSheets', () => {
  const [dark, light] = [40, 90].map((level) => filledImage(50, 20, 3, level)) as [PixelImage, PixelImage];

  it('puts sheets next to each other as they are, below titles that are not cut off', () => {
    const joined = joinSheets([
      { title: ['a title wider than its sheet', 'and a line'], sheet: dark },
      { title: ['b'], sheet: light },
    ]);
    const top = joined.height - dark.height;
    const gap = joined.width - light.width;
    const parts = [0, gap].map((left) => cropImage(joined, left, top, dark.width, dark.height).data);
    expect(parts).toEqual([dark.data, light.data]);
    const titles = cropImage(joined, 0, 0, joined.width, top);
    const written = Array.from({ length: top * joined.width }, (_, i) => titles.data[3 * i]! < 255);
    const columns = written.flatMap((isDark, i) => (isDark ? [i % joined.width] : []));
    const widest = Math.max(...columns.filter((column) => column < gap));
    expect(widest).toBeGreaterThan(dark.width);
    expect(widest).toBeLessThan(gap - 6);
    expect(columns.some((column) => column > gap)).toBe(true);
  });
});

it.each([
  ['cat, tabby', 'cat, tabby'],
  ['Métropole', 'Métropole'],
  ['日本', 'class 7'],
  ['😀', 'class 7'],
])('a class %s is labelled %s', (name, label) => {
  expect(classLabel(name, 7)).toBe(label);
});

it('the legend tells names that have numbers on the sheet', () => {
  const rows = (names: readonly string[]) => names.map((name, label) => ({ name, label }));
  expect(sheetLegend(rows(['cat', 'dog']))).toBeUndefined();
  expect(sheetLegend(rows(['日本', 'dog', '😀']))).toBe('class 0 is 日本, class 2 is 😀');
  expect(sheetLegend(rows(new Array(14).fill('中')))).toMatch(/class 11 is 中 … and 2 more$/);
});
