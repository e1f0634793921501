/** @file Measurements as a table of a document, between two marks. */
import { DataError } from '../../src/core/errors.ts';
import type { Contender } from './contenders.ts';

export interface Measurement {
  /** Runs of the network per picture; a guided evaluation is two. */
  readonly networkRuns?: number;
  /** Root mean square distance from the exact flow, where the contender follows it. */
  readonly distance?: number;
  readonly frechet?: number;
}

/** A contender with what is known of it so far. */
export interface Row extends Measurement {
  readonly contender: Contender;
}

const BEGIN = '<!-- begin: bench/sampler-quality.ts -->';
const END = '<!-- end -->';

export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map(({ contender, networkRuns, distance, frechet }) => [
    `\`${contender.sampler}\``,
    contender.steps === undefined ? `rtol ${contender.rtol}` : String(contender.steps),
    String(contender.shift ?? ''),
    contender.cfgInterval?.join(' to ') ?? 'all',
    networkRuns?.toFixed(0) ?? '',
    distance?.toFixed(3) ?? '',
    frechet?.toFixed(2) ?? '',
  ]);
  return [
    '| sampler | steps | shift | guided times | runs of the network | distance from the flow | Fréchet distance |',
    '| --- | ---: | ---: | --- | ---: | ---: | ---: |',
    ...cells.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');
}

/**
 * The document with what stands between the marks replaced.
 *
 * @throws DataError if it has no marks
 */
export function withTable(document: string, table: string, where: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) {
    throw new DataError({
      where,
      problem: `there is no place for the table: ${BEGIN} is at ${begin}, ${END} at ${end}`,
      fix: 'write both marks where it is to stand, each on a line of its own',
    });
  }
  return `${document.slice(0, begin)}${BEGIN}\n\n${table}\n\n${document.slice(end)}`;
}
