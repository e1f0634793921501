/** @file Sheets with a row per class: while a model is trained, of a checkpoint, and of several beside each other. */
import { readFile } from 'node:fs/promises';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import { writePng } from '../../data/images/png-node.ts';
import { classLabel, joinSheets, type TitledSheet } from '../../data/images/sheet.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { openCheckpoint } from '../../models/bundled-node.ts';
import { type ModelCard, type SavedModel, spaceOf } from '../../models/saved-model.ts';
import { latentColours } from './latent-colours.ts';
import { createPipeline, type LatentDecoder } from './pipeline.ts';
import { sheetFile } from './sinks/sheet-file-node.ts';
import { drawInto } from './sinks/sink.ts';

/** Steps of the quick sheets drawn while training. */
const PREVIEW_STEPS = 20;
/** Few enough for a sheet to be drawn in about 20 s on two cores. */
const COLUMNS = 4;
const MAX_CLASSES = 10;
/** With a class and without. */
const PASSES_OF_GUIDANCE = 2;

type DrawnModel = Pick<SavedModel, 'card' | 'network' | 'weights'>;

export interface SheetComputing {
  /** Default: the CPU. */
  readonly backend?: Backend | undefined;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** Decodes what a model of latents draws. Default: they are shown as colours. */
  readonly autoencoder?: LatentDecoder | undefined;
}

interface ClassSheetsOptions extends SheetComputing {
  readonly seed: number;
}

const CLASS_SHEET_OPTIONS: OptionTable<ClassSheetsOptions> = {
  seed: 'needed',
  threads: 'needed',
  backend: 'optional',
  signal: 'optional',
  autoencoder: 'optional',
};

export interface ClassSheets {
  (model: DrawnModel, path: string): Promise<Uint8Array>;
  /** How many images the network sees for a sheet at most. */
  evaluations(card: Pick<ModelCard, 'classNames'>): number;
}

/**
 * What a training draws its sheets with: a row per class, always from the same noise, so that the sheets of one run show
 * the same pictures coming into being.
 *
 * @returns a function that writes a PNG file and gives its content
 * @throws ConfigError for an option that does not exist or is missing
 */
export function classSheets(options: ClassSheetsOptions): ClassSheets {
  expectOptions(options, 'classSheets', CLASS_SHEET_OPTIONS);
  const draw = async (model: DrawnModel, path: string): Promise<Uint8Array> => {
    await drawClassSheet(model, path, { ...options, steps: PREVIEW_STEPS });
    return readFile(path);
  };
  const evaluations = ({ classNames }: Pick<ModelCard, 'classNames'>): number =>
    Math.min(classNames.length, MAX_CLASSES) * COLUMNS * PREVIEW_STEPS * PASSES_OF_GUIDANCE;
  return Object.assign(draw, { evaluations });
}

/** The sheet of a checkpoint, drawn with the sampler's own settings: from the same noise for all models of one size. */
export async function drawCheckpointSheet(
  checkpoint: string,
  path: string,
  computing: SheetComputing,
): Promise<void> {
  const saved = await openCheckpoint(checkpoint);
  await drawClassSheet(saved, path, { ...computing, seed: 0 });
}

/** Joins the sheets in two or more PNG files into one picture, each below its title. */
export async function joinSheetFiles(
  path: string,
  files: readonly { readonly title: readonly string[]; readonly path: string }[],
): Promise<void> {
  const sheets: TitledSheet[] = [];
  for (const file of files) {
    const { image } = await decodeRgb(file.path, null);
    sheets.push({ title: file.title, sheet: image });
  }
  await writePng(path, joinSheets(sheets));
}

interface ClassSheetOptions extends ClassSheetsOptions {
  /** Default: as the sampler chooses. */
  readonly steps?: number;
}

async function drawClassSheet(
  model: DrawnModel,
  path: string,
  { backend = cpuBackend, seed, threads, steps, signal, autoencoder }: ClassSheetOptions,
): Promise<void> {
  const classes = model.card.classNames.slice(0, MAX_CLASSES);
  const labels = classes.flatMap((_, label) => new Array<number>(COLUMNS).fill(label));
  const images = labels.length;
  const { card, network } = model;
  const space = spaceOf(card, network.config);
  const decoder =
    space.kind === 'latents'
      ? (autoencoder ?? latentColours({ name: card.name, space, config: network.config }))
      : undefined;
  const computing = { backend, images, cores: threads, steps };
  const pipeline = await createPipeline(model, { ...computing, autoencoder: decoder });
  const sheet = sheetFile(path, {
    rows: classes.length,
    columns: COLUMNS,
    rowLabels: classes.map(classLabel),
  });
  try {
    await drawInto(pipeline, { labels, seed, signal }, [sheet]);
  } finally {
    await pipeline.release();
  }
}
