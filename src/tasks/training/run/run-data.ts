/**
 * @file Which data a run is trained on: the samples that were found, not the place where they were. A run goes on with the
 * same ones wherever they lie now, and with no others: order and held-out split would not be those of its earlier steps.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { CheckpointError, ConfigError } from '../../../core/errors.ts';
import { quoted } from '../../../core/printable.ts';
import { type DataConfig, dataName } from '../../../data/datasets/data-config.ts';
import type { Split } from '../../../data/datasets/split.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import { writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import { findModel } from '../../../models/open-model.ts';
import { isLayer } from '../config/config-layer.ts';
import { configOfRun } from './run-config.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';

const recordSchema = v.object({
  classes: v.array(v.object({ name: v.string(), samples: v.array(v.string()) })),
});
type DataRecord = v.InferOutput<typeof recordSchema>;

/**
 * Checks that a run which has begun goes on with its data, and says so if they have moved. Writes nothing.
 *
 * @throws ConfigError counting the samples that are missing and those that are new
 */
export async function expectSameData(
  folder: RunFolder,
  split: Split,
  data: DataConfig,
  observer: Pick<RunObserver, 'onMovedData' | 'onWarning'>,
): Promise<void> {
  if ((await folder.listCheckpoints()).length === 0) return;
  const [from, to] = [await earlierPlace(folder), dataName(data)];
  const hasMoved = from !== undefined && 'path' in data && resolve(from) !== resolve(to);
  const record = await readRecord(folder);
  if (record !== undefined) {
    expectSameSamples(record, recordOf(split), folder.path);
    if (hasMoved) observer.onMovedData?.(from, to);
  } else if (hasMoved) {
    await expectSameClasses(folder, split);
    observer.onWarning?.(
      `the data have moved from ${from} to ${to}; an earlier version kept no list of them, so only the classes were compared`,
    );
  }
}

/** Writes down what the data are, for later sessions of the run. */
export async function recordData(folder: RunFolder, split: Split): Promise<void> {
  if ((await folder.listCheckpoints()).length > 0 && (await readRecord(folder)) !== undefined) return;
  await writeFileAtomic(recordIn(folder), [new TextEncoder().encode(`${JSON.stringify(recordOf(split))}\n`)]);
}

function recordIn({ path }: RunFolder): string {
  return join(path, 'data.json');
}

/** Undefined where there is none, as in a run of 0.1.0, or where it is damaged. */
async function readRecord(folder: RunFolder): Promise<DataRecord | undefined> {
  try {
    return v.parse(recordSchema, JSON.parse(await readFile(recordIn(folder), 'utf8')));
  } catch {
    return undefined;
  }
}

function recordOf({ training, heldOut }: Split): DataRecord {
  const classes = training.classNames.map((name): DataRecord['classes'][number] => ({ name, samples: [] }));
  for (const { labels, sampleNames } of [training, heldOut]) {
    sampleNames.forEach((name, index) => {
      classes[labels[index]!]!.samples.push(name);
    });
  }
  for (const { samples } of classes) samples.sort();
  return { classes };
}

function expectSameSamples(before: DataRecord, now: DataRecord, runPath: string): void {
  const [earlier, current] = [namesByIdentity(before), namesByIdentity(now)];
  const missing = [...earlier].filter(([identity]) => !current.has(identity)).map(([, name]) => name);
  const fresh = [...current].filter(([identity]) => !earlier.has(identity)).map(([, name]) => name);
  if (missing.length === 0 && fresh.length === 0) return;
  const facts: [label: string, text: string][] = [];
  if (missing.length > 0) facts.push(['missing', firstOf(missing)]);
  if (fresh.length > 0) facts.push(['new', firstOf(fresh)]);
  throw otherData(runPath, `${missing.length} fewer and ${fresh.length} new of ${earlier.size}`, facts);
}

/** A sample is known by its class and its name in the data. */
function namesByIdentity({ classes }: DataRecord): ReadonlyMap<string, string> {
  return new Map(
    classes.flatMap(({ name, samples }) => samples.map((sample) => [`${name}\n${sample}`, sample] as const)),
  );
}

async function expectSameClasses(folder: RunFolder, { training }: Split): Promise<void> {
  const before = await classesOfCheckpoint(folder);
  const now = training.classNames;
  if (before === undefined || (before.length === now.length && before.every((name, i) => name === now[i]))) {
    return;
  }
  throw otherData(folder.path, 'the classes are others', [
    ['before', firstOf(before)],
    ['now', firstOf(now)],
  ]);
}

async function classesOfCheckpoint(folder: RunFolder): Promise<readonly string[] | undefined> {
  for (const { path } of (await folder.listCheckpoints()).reverse()) {
    try {
      const file = await openTensorFile(path);
      try {
        return findModel(file, path).card.classNames;
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return undefined;
}

function otherData(
  runPath: string,
  problem: string,
  facts: readonly (readonly [label: string, text: string])[],
): ConfigError {
  return new ConfigError({
    where: runPath,
    problem: `the run was started with other data: ${problem}`,
    facts,
    fix: `restore them, or start another run: --init-from ${quoted(runPath)} --name NEW`,
  });
}

const LONGEST_LIST = 5;

function firstOf(names: readonly string[]): string {
  const more = names.length > LONGEST_LIST ? ` and ${names.length - LONGEST_LIST} more` : '';
  return `${names.slice(0, LONGEST_LIST).join(', ')}${more}`;
}

/** Where the data of a folder lay in the last session. */
async function earlierPlace(folder: RunFolder): Promise<string | undefined> {
  const data = (await configOfRun(folder.path))?.data;
  return isLayer(data) && typeof data.path === 'string' ? data.path : undefined;
}
