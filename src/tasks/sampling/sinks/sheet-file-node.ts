/** @file Contact sheets as PNG files: of the pictures, or of how they came into being. */
import { expectOptions, type OptionTable } from '../../../core/options.ts';
import { writeSheet } from '../../../data/images/png-node.ts';
import type { LatentDecoder } from '../pipeline.ts';
import { PreviewSheet, Sheet } from './sheet.ts';
import { pixelsOf, type Sink } from './sink.ts';

export interface SheetOptions {
  readonly rows: number;
  readonly columns: number;
  /** One per row, at the left. */
  readonly rowLabels?: readonly string[];
  /** The cell of the picture at a position, counted row by row; undefined: it is not shown. Default: the position. */
  readonly cellOf?: (position: number) => number | undefined;
}

const SHEET_OPTIONS: OptionTable<SheetOptions> = {
  rows: 'needed',
  columns: 'needed',
  rowLabels: 'optional',
  cellOf: 'optional',
};

/**
 * Pictures side by side in one PNG file, which is written when all are there.
 *
 * @throws ConfigError for an option that does not exist or is missing
 */
export function sheetFile(path: string, options: SheetOptions): Sink {
  expectOptions(options, 'sheetFile', SHEET_OPTIONS);
  const { rows, columns, rowLabels, cellOf = (at) => at } = options;
  const sheet = new Sheet(rows, columns);
  return {
    async put(batch) {
      const pixels = pixelsOf(batch, 'sheetFile');
      for (let i = 0; i < batch.labels.length; i++) {
        const cell = cellOf(batch.first + i);
        if (cell !== undefined) sheet.place(Math.floor(cell / columns), cell % columns, pixels, i);
      }
    },
    close: () => writeIfAny(path, sheet, rowLabels),
  };
}

export interface PreviewOptions {
  readonly stepCount: number;
  /** One per row, at the left. */
  readonly rowLabels: readonly string[];
  /** The row of the picture at a position; undefined: its steps are not shown. */
  readonly rowOf: (position: number) => number | undefined;
  /** Decodes what a model of latents sees. */
  readonly decoder?: LatentDecoder | undefined;
}

/** What the network sees in some pictures, a row each, from step to step. */
export function previewsFile(path: string, { stepCount, rowLabels, rowOf, decoder }: PreviewOptions): Sink {
  const sheet = new PreviewSheet(rowLabels.length, stepCount, rowOf);
  return {
    put: async () => undefined,
    onStep: (progress) => sheet.add(progress),
    async close() {
      await sheet.show(decoder);
      return writeIfAny(path, sheet, rowLabels);
    },
  };
}

async function writeIfAny(path: string, { images, columns }: Sheet, rowLabels?: readonly string[]) {
  if (images === undefined) return { paths: [] };
  await writeSheet(path, images, { columns, ...(rowLabels && { rowLabels }) });
  return { paths: [path] };
}
