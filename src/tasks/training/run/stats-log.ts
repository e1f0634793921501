/** @file `stats.jsonl`: one JSON object per line and step, appended while training and cut back when a run resumes. */
import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { DataError } from '../../../core/errors.ts';
import { AppendFile } from '../../../host/files/append-file-node.ts';
import { writeFileAtomic } from '../../../host/files/atomic-write-node.ts';

/** Measurements at one step. Numbers that are not finite are stored as null, as JSON has none. */
export interface StatsRecord {
  readonly step: number;
  readonly [measurement: string]: number | string | boolean | null;
}

const recordSchema = v.objectWithRest(
  { step: v.pipe(v.number(), v.safeInteger()) },
  v.union([v.number(), v.string(), v.boolean(), v.null()]),
);

interface StatsLine {
  /** As written, without the newline. */
  readonly text: string;
  readonly record: StatsRecord;
}

/** The open log of a run. */
export class StatsLog {
  readonly #file: AppendFile;

  private constructor(path: string) {
    this.#file = new AppendFile(path);
  }

  /**
   * Opens or creates the log of a run that goes on after `step` (0: from the start). What a killed process wrote after
   * that step, or left unfinished, is removed, so that each step appears once.
   *
   * @throws DataError when a line other than an unfinished last one cannot be read
   */
  static async open(path: string, step: number): Promise<StatsLog> {
    const before = await readOrEmpty(path);
    const kept = parseLines(before, path).filter(({ record }) => record.step <= step);
    const after = kept.map(({ text }) => `${text}\n`).join('');
    if (after !== before) await writeFileAtomic(path, [new TextEncoder().encode(after)]);
    return new StatsLog(path);
  }

  append(record: StatsRecord): void {
    this.#file.append(`${JSON.stringify(record)}\n`);
  }

  close(): void {
    this.#file.close();
  }
}

/** The records of a run, also while it is being written. No file means no records. */
export async function readStats(path: string): Promise<StatsRecord[]> {
  return parseLines(await readOrEmpty(path), path).map(({ record }) => record);
}

function parseLines(content: string, path: string): StatsLine[] {
  // What follows the last newline is empty, or a line that a killed process did not finish.
  const lines = content.split('\n').slice(0, -1);
  return lines.map((text, i) => ({ text, record: parseRecord(text, `${path}:${i + 1}`) }));
}

function parseRecord(text: string, where: string): StatsRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError({ where, problem: 'this line is not JSON', fix: 'remove the line', cause });
  }
  const parsed = v.safeParse(recordSchema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new DataError({
    where,
    problem: `${v.getDotPath(issue) ?? 'the line'}: expected ${issue.expected}, received ${issue.received}`,
    fix: 'remove the line',
  });
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
