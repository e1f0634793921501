/** @file Contact sheets: samples side by side, enlarged without smoothing, with a label per row. */
import { ConfigError, ShapeError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { formatShape } from '../../core/shape.ts';
import { GLYPH_HEIGHT, isDrawable, paintText, textWidth } from './pixel-font.ts';
import { filledImage, type PixelImage, pasteImage } from './pixel-image.ts';
import { imageAt } from './pixels.ts';

// N batch · H W C picture

export interface SheetLayout {
  readonly columns: number;
  /** One per row, at the left; usually the class names. */
  readonly rowLabels?: readonly string[];
  /** Each pixel becomes `scale` × `scale` pixels; by default so many that a picture is about 96 wide. */
  readonly scale?: number;
}

const WHITE = 255;
const TEXT_LEVEL = 40;
const COMFORTABLE_SIZE = 96;
/** Between pictures, and around the sheet, in pixels. */
const PADDING = 6;
const TEXT_SCALE = 2;
const LINE_HEIGHT = (GLYPH_HEIGHT + 2) * TEXT_SCALE;
/** Between sheets that are joined. */
const SHEET_GAP = 24;
/** A longer label is broken between words. */
const MAX_LINE_WIDTH = 90;

/**
 * Draws pictures row by row on a white sheet.
 *
 * @param images - `u8[N,H,W,C]` with one (grey) or three channels
 */
export function drawSheet(images: HostTensor<'u8'>, options: SheetLayout): PixelImage {
  const { columns, rowLabels = [] } = options;
  checkSheet(images, options);
  const [count, height, width] = images.shape as [number, number, number, number];
  const scale = options.scale ?? Math.max(1, Math.round(COMFORTABLE_SIZE / width));
  const rows = Math.ceil(count / columns);
  const [cellWidth, cellHeight] = [width * scale + PADDING, height * scale + PADDING];
  const labels = rowLabels.map((label) => breakLines(label, Math.floor(cellHeight / LINE_HEIGHT)));
  const labelWidth = Math.max(0, ...labels.flat().map((line) => textWidth(line) * TEXT_SCALE + 2 * PADDING));
  const sheet = filledImage(
    labelWidth + columns * cellWidth + PADDING,
    rows * cellHeight + PADDING,
    3,
    WHITE,
  );
  for (let index = 0; index < count; index++) {
    const left = labelWidth + PADDING + (index % columns) * cellWidth;
    const top = PADDING + Math.floor(index / columns) * cellHeight;
    paintImage(sheet, imageAt(images, index), left, top, scale);
  }
  labels.forEach((lines, row) => {
    const middle = PADDING + row * cellHeight + (height * scale) / 2;
    paintLines(sheet, lines, labelWidth - PADDING, middle);
  });
  return sheet;
}

/** A finished sheet, and the lines above it. */
export interface TitledSheet {
  readonly title: readonly string[];
  readonly sheet: PixelImage;
}

/** Sheets next to each other in one picture, each below its title. */
export function joinSheets(sheets: readonly TitledSheet[]): PixelImage {
  const widths = sheets.map(({ title, sheet }) =>
    Math.max(sheet.width, ...title.map((line) => textWidth(line) * TEXT_SCALE + 2 * PADDING)),
  );
  const titleHeight = Math.max(...sheets.map(({ title }) => title.length)) * LINE_HEIGHT + 2 * PADDING;
  const height = titleHeight + Math.max(...sheets.map(({ sheet }) => sheet.height));
  const width = widths.reduce((sum, each) => sum + each, 0) + (sheets.length - 1) * SHEET_GAP;
  const joined = filledImage(width, height, 3, WHITE);
  let left = 0;
  sheets.forEach(({ title, sheet }, i) => {
    title.forEach((line, row) => {
      paintLine(joined, line, left + PADDING, PADDING + row * LINE_HEIGHT);
    });
    pasteImage(joined, sheet, left, titleHeight);
    left += widths[i]! + SHEET_GAP;
  });
  return joined;
}

/** The name of a class, or its number where there are no letters to write the name with. */
export function classLabel(name: string, label: number): string {
  return isDrawable(name) ? name : `class ${label}`;
}

const LONGEST_LEGEND = 12;

/** The names that a sheet has numbers for: `class 2 is 日本, class 3 is 😀`; undefined if it writes all names. */
export function sheetLegend(
  rows: readonly { readonly name: string; readonly label: number }[],
): string | undefined {
  const numbered = rows.filter(({ name }) => !isDrawable(name));
  if (numbered.length === 0) return undefined;
  const shown = numbered.slice(0, LONGEST_LEGEND).map(({ name, label }) => `class ${label} is ${name}`);
  const more = numbered.length - shown.length;
  return `${shown.join(', ')}${more === 0 ? '' : ` … and ${more} more`}`;
}

function checkSheet(images: HostTensor<'u8'>, { columns, rowLabels, scale }: SheetLayout): void {
  const [count = 0, , , channels] = images.shape;
  if (images.shape.length !== 4 || count < 1 || (channels !== 1 && channels !== 3)) {
    throw new ShapeError({
      where: 'drawSheet',
      problem: `pictures are u8[N,H,W,C] with 1 or 3 channels and N at least 1, these are ${formatShape(images.shape)}`,
    });
  }
  for (const [name, value] of Object.entries({ columns, scale: scale ?? 1 })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ConfigError({
      where: 'drawSheet',
      problem: `${name} is ${value}`,
      fix: 'use a whole number from 1',
    });
  }
  const rows = Math.ceil(count / columns);
  if (rowLabels !== undefined && rowLabels.length !== rows) {
    throw new ConfigError({
      where: 'drawSheet',
      problem: `${rowLabels.length} row labels for ${rows} rows of ${columns} pictures`,
    });
  }
}

/** Words put into lines of at most {@link MAX_LINE_WIDTH} font pixels; what does not fit the row's height is left out. */
function breakLines(label: string, maxLines: number): string[] {
  const lines: string[] = [];
  for (const word of label.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`) <= MAX_LINE_WIDTH)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.slice(0, Math.max(1, maxLines));
}

function paintImage(sheet: PixelImage, image: PixelImage, left: number, top: number, scale: number): void {
  for (let row = 0; row < image.height * scale; row++) {
    for (let column = 0; column < image.width * scale; column++) {
      const source = (Math.floor(row / scale) * image.width + Math.floor(column / scale)) * image.channels;
      const target = ((top + row) * sheet.width + left + column) * 3;
      for (let c = 0; c < 3; c++)
        sheet.data[target + c] = image.data[source + (image.channels === 3 ? c : 0)]!;
    }
  }
}

/** Lines that end at `right`, centred about `middle`. */
function paintLines(sheet: PixelImage, lines: readonly string[], right: number, middle: number): void {
  const top = Math.round(middle - (lines.length * LINE_HEIGHT) / 2);
  lines.forEach((line, i) => {
    paintLine(sheet, line, right - textWidth(line) * TEXT_SCALE, top + i * LINE_HEIGHT);
  });
}

function paintLine(sheet: PixelImage, line: string, left: number, top: number): void {
  paintText(line, (column, row) => {
    paintSquare(sheet, left + column * TEXT_SCALE, top + row * TEXT_SCALE);
  });
}

function paintSquare(sheet: PixelImage, left: number, top: number): void {
  for (let row = Math.max(0, top); row < Math.min(top + TEXT_SCALE, sheet.height); row++) {
    const start = (row * sheet.width + left) * 3;
    sheet.data.fill(TEXT_LEVEL, start, start + TEXT_SCALE * 3);
  }
}
