/**
 * @file Which data a run is trained on: the samples that were found, not the place where they were. A run goes on with the
 * same ones wherever they lie now, and with no others: order and held-out split would not be those of its earlier steps.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { uditCommand } from '../../../core/command.ts';
import { CheckpointError, ConfigError } from '../../../core/errors.ts';
import { dataName } from '../../../data/datasets/data-config.ts';
import type { Split } from '../../../data/datasets/split.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import { writeFileAtomic } from '../../../host/files/atomic-write-node.ts';
import { findModel } from '../../../models/open-model.ts';
import { type CheckpointFile, listCheckpoints } from '../../../models/run-checkpoints-node.ts';
import { isLayer } from '../config/config-layer.ts';
import type { RunConfig } from '../config/train-config.ts';
import { configOfRun } from './run-config.ts';
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
  runPath: string,
  split: Split,
  config: Pick<RunConfig, 'data' | 'model'>,
  observer: Pick<RunObserver, 'onMovedData' | 'onWarning'> = {},
): Promise<void> {
  const { data } = config;
  if ((await checkpointsOf(runPath)).length === 0) return;
  const [from, to] = [await earlierPlace(runPath), dataName(data)];
  const hasMoved = from !== undefined && 'path' in data && resolve(from) !== resolve(to);
  const record = await readRecord(runPath);
  const fix = () =>
    `restore them, or begin another run with what was learned: ${anotherRun(runPath, split, config)}`;
  if (record !== undefined) {
    expectSameSamples(record, recordOf(split), { where: runPath, fix });
    if (hasMoved) observer.onMovedData?.(from, to);
  } else if (hasMoved) {
    await expectSameClasses(runPath, split, fix);
    observer.onWarning?.(
      `the data have moved from ${from} to ${to}; an earlier version kept no list of them, so only the classes were compared`,
    );
  }
}

/** Writes down what the data are, for later sessions of the run. */
export async function recordData(runPath: string, split: Split): Promise<void> {
  if ((await checkpointsOf(runPath)).length > 0 && (await readRecord(runPath)) !== undefined) return;
  await writeFileAtomic(recordIn(runPath), [
    new TextEncoder().encode(`${JSON.stringify(recordOf(split))}\n`),
  ]);
}

function checkpointsOf(runPath: string): Promise<CheckpointFile[]> {
  return listCheckpoints(join(runPath, 'checkpoints'));
}

function recordIn(runPath: string): string {
  return join(runPath, 'data.json');
}

/** Undefined where there is none, as in a run of 0.1.0, or where it is damaged. */
async function readRecord(runPath: string): Promise<DataRecord | undefined> {
  try {
    return v.parse(recordSchema, JSON.parse(await readFile(recordIn(runPath), 'utf8')));
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

interface Context {
  readonly where: string;
  readonly fix: () => string;
}

function expectSameSamples(before: DataRecord, now: DataRecord, { where, fix }: Context): void {
  const [earlier, current] = [namesByIdentity(before), namesByIdentity(now)];
  const missing = [...earlier].filter(([identity]) => !current.has(identity)).map(([, name]) => name);
  const fresh = [...current].filter(([identity]) => !earlier.has(identity)).map(([, name]) => name);
  if (missing.length === 0 && fresh.length === 0) return;
  const facts: [label: string, text: string][] = [];
  if (missing.length > 0) facts.push(['missing', firstOf(missing)]);
  if (fresh.length > 0) facts.push(['new', firstOf(fresh)]);
  throw new ConfigError({
    where,
    problem: `the data of this run have changed: ${missing.length} fewer, ${fresh.length} new of ${earlier.size}`,
    facts,
    fix: fix(),
  });
}

/** A sample is known by its class and its name in the data. */
function namesByIdentity({ classes }: DataRecord): ReadonlyMap<string, string> {
  return new Map(
    classes.flatMap(({ name, samples }) => samples.map((sample) => [`${name}\n${sample}`, sample] as const)),
  );
}

async function expectSameClasses(where: string, { training }: Split, fix: () => string): Promise<void> {
  const before = await classesOfCheckpoint(where);
  const now = training.classNames;
  if (before === undefined || (before.length === now.length && before.every((name, i) => name === now[i]))) {
    return;
  }
  throw new ConfigError({
    where,
    problem: 'the data of this run have changed: the classes are others',
    facts: [
      ['before', firstOf(before)],
      ['now', firstOf(now)],
    ],
    fix: fix(),
  });
}

async function classesOfCheckpoint(runPath: string): Promise<readonly string[] | undefined> {
  for (const { path } of (await checkpointsOf(runPath)).reverse()) {
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

/** The command that trains on with other data: in a run of its own, since its order and held-out split are others. */
function anotherRun(
  runPath: string,
  { training: { classNames } }: Split,
  { data, model }: Pick<RunConfig, 'data' | 'model'>,
): string {
  const place = 'path' in data ? ['--data-path', data.path] : [];
  const stated = 'numClasses' in model ? model.numClasses : undefined;
  const lacksClasses = stated !== undefined && stated < classNames.length;
  const classes = lacksClasses ? ['--num-classes', String(classNames.length)] : [];
  return uditCommand(
    ...['train', '--config', runPath, ...place, ...classes],
    ...['--init-from', runPath, '--name', 'NEW'],
  );
}

const LONGEST_LIST = 5;

function firstOf(names: readonly string[]): string {
  const more = names.length > LONGEST_LIST ? ` and ${names.length - LONGEST_LIST} more` : '';
  return `${names.slice(0, LONGEST_LIST).join(', ')}${more}`;
}

/** Where the data of a folder lay in the last session. */
async function earlierPlace(runPath: string): Promise<string | undefined> {
  const data = (await configOfRun(runPath))?.data;
  return isLayer(data) && typeof data.path === 'string' ? data.path : undefined;
}
