/** @file One measurement of a run as a curve, read from its `stats.jsonl`. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DataError } from '../../../core/errors.ts';
import { suggestion } from '../../../core/nearest.ts';
import { readStats, type StatsRecord } from './stats-log.ts';

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
}

/** What a curve is drawn over: optimizer updates, or pictures seen. */
export type CurveAxis = 'step' | 'nimg';

/**
 * @param run - a run folder, or a `stats.jsonl`
 * @throws DataError if there are no measurements
 * @throws ConfigError if none of them is `metric`, naming those that are there
 */
export async function readCurve(run: string, metric: string, axis: CurveAxis): Promise<CurvePoint[]> {
  return (await readScoredCurve(run, metric, axis)).points;
}

/** The same, with how its scores were measured; no word for measurements of another kind. */
export async function readScoredCurve(
  run: string,
  metric: string,
  axis: CurveAxis,
): Promise<{ readonly points: CurvePoint[]; readonly provenance: ReadonlySet<string> }> {
  const found = await stat(run).catch(() => undefined);
  const path = found?.isDirectory() === true ? join(run, 'stats.jsonl') : run;
  const records = await readStats(path);
  if (records.length === 0) {
    throw new DataError({
      where: path,
      problem: found === undefined ? 'there is no such file or folder' : 'there are no measurements',
      fix: 'give the folder of a run that has trained, such as runs/u-dit-xs-emoji',
      absent: found === undefined,
    });
  }
  const measured = records.filter((record) => typeof record[metric] === 'number');
  if (measured.length === 0) throw unknownMetric(path, metric, records);
  const perStep = axis === 'step' ? 1 : picturesPerStep(path, records);
  const points = measured.map((record) => ({ x: record.step * perStep, y: record[metric] as number }));
  const provenance = measured.flatMap((record) => (record.provenance ? [String(record.provenance)] : []));
  return { points, provenance: new Set(provenance) };
}

/** Records of held-out losses do not say how many pictures were seen; those of training do. */
function picturesPerStep(path: string, records: readonly StatsRecord[]): number {
  const record = records.find(({ step, nimg }) => step > 0 && typeof nimg === 'number');
  if (record !== undefined) return (record.nimg as number) / record.step;
  throw new DataError({
    where: path,
    problem: 'no record has the number of pictures seen (nimg)',
    fix: 'draw it over steps, with --x step',
  });
}

function unknownMetric(path: string, metric: string, records: readonly StatsRecord[]): ConfigError {
  const names = new Set(
    records.flatMap((record) => Object.keys(record).filter((name) => typeof record[name] === 'number')),
  );
  for (const axis of ['step', 'nimg']) names.delete(axis);
  const known = [...names];
  return new ConfigError({
    where: path,
    problem: `there is no measurement "${metric}"`,
    facts: [['measured', known.join(' ')]],
    fix: suggestion(metric, known),
  });
}
