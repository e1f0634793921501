/** @file `udit data`: a data set as a model would see it, before anything is trained. */
import { dirname, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { plural } from '../charts/format.ts';
import { ConfigError } from '../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../core/image-size.ts';
import { printableLine } from '../core/printable.ts';
import { formatShape } from '../core/shape.ts';
import type { DataConfig } from '../data/datasets/data-config.ts';
import { drawDataSheet, samplesByClass } from '../data/datasets/data-sheet.ts';
import { type OpenedData, openData } from '../data/datasets/open-data-node.ts';
import { TREATMENTS, type Treatment } from '../data/datasets/treatments.ts';
import { writePng } from '../data/images/png-node.ts';
import { sheetLegend } from '../data/images/sheet.ts';
import { expectFolderPossible, makeFolder } from '../host/files/make-folder-node.ts';
import { type ConfigLayer, layerOf } from '../tasks/training/config/config-layer.ts';
import { resolveTrainConfig } from '../tasks/training/config/train-config.ts';
import { withRecognisedData } from '../tasks/training/run/recognised-data.ts';
import { collectAssignments, parseAssignment } from './config-arguments.ts';
import { describeFiles, filesAsData } from './data-report.ts';
import { expectPng } from './drawing-file.ts';
import { interruptible } from './failures.ts';
import { imageSize, wholeNumber } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { preparationProgress } from './train-report.ts';

interface DataFlags {
  readonly imageSize?: ImageSize;
  readonly model?: string;
  readonly set: readonly string[];
  readonly strict?: true;
  readonly out?: string;
  readonly columns: number;
  readonly json?: true;
}

/** Of a sheet; more would be too large to look at. */
const MOST_ROWS = 100;

const ELSEWHERE = { fix: 'choose another place with --out' };

const EXAMPLES = `
Examples:
  npx udit data photos                              classes, counts, and what is passed over
  npx udit data photos --image-size 64 --out a.png  a row per class, as a model for 64 pixels sees them
  npx udit data photos --set data.background=black  the same with transparent pictures on black
  npx udit data photos --model DiT-S/4              as the presets of the papers read pictures
`;

export function defineData(command: Command, terminal: Terminal): void {
  command
    .argument('<data>', '"emoji", or what --data-path of udit train takes')
    .option('--image-size <size>', 'side, or height x width as in 48x32, in pixels (default: 32)', imageSize)
    .option('--model <preset>', 'read as for this model (default: U-DiT-XS)')
    .option(
      '--set <key=value>',
      'any option of the data, as in data.orientation=ignore',
      collectAssignments,
      [],
    )
    .option('--strict', 'an image that cannot be read is an error')
    .option('--out <file>', 'a sheet of pictures as PNG, with a row per class')
    .option('--columns <n>', 'pictures of each class on the sheet', wholeNumber({ from: 1 }), 8)
    .option('--json', 'print everything as JSON')
    .addHelpText('after', EXAMPLES)
    .action((path: string, flags: DataFlags) =>
      interruptible((signal) => look(path, flags, terminal, signal)),
    );
}

async function look(path: string, flags: DataFlags, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { out, columns, json } = flags;
  if (out !== undefined) {
    expectPng('--out', out);
    await expectHarmlessOutputs('--out', [out]);
    expectOutside(path, out);
    await expectFolderPossible(dirname(resolve(out)), ELSEWHERE);
  }
  const { data } = resolveTrainConfig(await withRecognisedData(layersOf(path, flags)));
  const preparing = preparationProgress(terminal);
  try {
    const opened = await openData(data, {
      keepEmptyClasses: true,
      onWarning: (message) => terminal.err.write(`warning: ${message}\n`),
      onProgress: (done, total) => {
        signal.throwIfAborted();
        preparing.update(done, total);
      },
    });
    preparing.stop();
    if (out !== undefined) {
      const sheet = await drawDataSheet(opened.samples, { columns, rows: MOST_ROWS });
      await makeFolder(dirname(resolve(out)), ELSEWHERE);
      await writePng(out, sheet);
    }
    terminal.out.write(
      json === true ? `${JSON.stringify(asData(opened, data), null, 2)}\n` : describe(opened, data, out),
    );
  } finally {
    preparing.stop();
  }
}

/** A sheet among the pictures would be learned with them, or take the place of one. */
function expectOutside(folder: string, out: string): void {
  if (!resolve(out).startsWith(resolve(folder) + sep)) return;
  throw new ConfigError({
    where: '--out',
    problem: `${out} lies among the pictures of ${folder}`,
    fix: 'choose a place outside of that folder',
  });
}

function layersOf(path: string, { imageSize: size, model, set, strict }: DataFlags): ConfigLayer[] {
  const options = set.map(parseAssignment);
  const other = options.flatMap(Object.keys).find((section) => section !== 'data');
  if (other !== undefined) {
    throw new ConfigError({
      where: '--set',
      problem: `${other} is no part of the data`,
      fix: 'set a key of data, as in --set data.background=black',
    });
  }
  return [
    layerOf('data.path', path),
    ...(model === undefined ? [] : [layerOf('model.preset', model)]),
    ...(size === undefined ? [] : [layerOf('data.imageSize', writtenImageSize(size))]),
    ...(strict === undefined ? [] : [layerOf('data.strict', true)]),
    ...options,
  ];
}

interface ClassCounts {
  readonly name: string;
  readonly pictures: number;
  /** Of those pictures; undefined where it is found out only while training. */
  readonly treated: Readonly<Record<Treatment, number>> | undefined;
}

function countClasses({ samples, treated }: OpenedData): ClassCounts[] {
  const treatedOf = (label: number) =>
    treated &&
    (Object.fromEntries(
      TREATMENTS.map((name) => [name, treated[name].filter((i) => samples.labels[i] === label).length]),
    ) as Record<Treatment, number>);
  return samplesByClass(samples).map((indices, label) => ({
    name: samples.classNames[label]!,
    pictures: indices.length,
    treated: treatedOf(label),
  }));
}

function asData(opened: OpenedData, data: DataConfig) {
  const { name, shape, length } = opened.samples;
  return {
    name,
    shape,
    pictures: length,
    classes: countClasses(opened),
    ...filesAsData(opened),
    config: data,
  };
}

/** Training refuses what is shown here with a count of 0. */
function describeEmpty(classes: readonly ClassCounts[]): string[] {
  const empty = classes.filter(({ pictures }) => pictures === 0);
  if (empty.length === 0) return [];
  const names = printableLine(empty.map(({ name }) => name).join(', '));
  return [
    `without     ${names}: no picture of it can be read; training needs some in each folder, or the folder removed`,
  ];
}

function describe(opened: OpenedData, data: DataConfig, out: string | undefined): string {
  const { samples, treated } = opened;
  // A treatment that no picture had needs no column.
  const columns = TREATMENTS.filter((name) => (treated?.[name].length ?? 0) > 0);
  const counted = countClasses(opened);
  const rows = counted.map(({ name, pictures, treated: counts }) => [
    printableLine(name),
    String(pictures),
    ...columns.map((treatment) => String(counts?.[treatment] ?? '')),
  ]);
  const classes = samples.classNames.length;
  const shown = Math.min(classes, MOST_ROWS);
  const named = sheetLegend(samples.classNames.slice(0, shown).map((name, label) => ({ name, label })));
  const legend = named === undefined ? [] : [`            ${printableLine(named)}`];
  return [
    `${plural(samples.length, samples.space.kind === 'pixels' ? 'picture' : 'latent')} ${formatShape(samples.shape)} in ${classes} ${classes === 1 ? 'class' : 'classes'}\n`,
    formatTable([['class', 'pictures', ...columns], ...rows]),
    ...describeEmpty(counted),
    ...describeFiles(opened, data).map(([label, text]) => `${label.padEnd(11)} ${text}`),
    ...(out === undefined
      ? []
      : [`sheet       ${out}${shown < classes ? `, of the first ${shown} classes` : ''}`, ...legend]),
    '',
  ].join('\n');
}
