/** @file What `udit evaluate` prints: scores with their provenance, and what speaks against them. */
import { plural } from '../charts/format.ts';
import type { EvaluatedSide, Evaluation } from '../tasks/evaluation/evaluate-node.ts';
import type { MetricName, Score } from '../tasks/evaluation/scores.ts';
import { formatTable } from './table.ts';

/** @param asked - metrics that the user named; others are left out without a word where they cannot be measured */
export function describeEvaluation(evaluation: Evaluation, asked: readonly MetricName[] | undefined): string {
  const { scores, omitted, doubts, reference, samples, provenance } = evaluation;
  const missing = omitted.filter(([metric]) => asked?.includes(metric));
  const { extractor, resize, ...settings } = provenance;
  // Neighbours and splits are of features.
  const facts = Object.entries({ extractor, resize, ...(extractor === null ? {} : settings) }).filter(
    ([, value]) => value !== null,
  );
  return [
    `reference  ${describeSide(reference)} (real)\n`,
    `samples    ${describeSide(samples)}\n`,
    facts.length === 0
      ? ''
      : `measured   ${facts.map(([name, value]) => `${name} ${String(value)}`).join(', ')}\n`,
    '\n',
    scores.length === 0 ? 'no metric can be measured\n' : tableOf(scores),
    ...missing.map(([metric, reason]) => `not measured: ${metric}, because ${reason}\n`),
    ...doubts.map((doubt) => `note: ${doubt}\n`),
  ].join('');
}

function describeSide({ name, kind, count, classes, hash, provenance }: EvaluatedSide): string {
  const facts = [
    kind,
    ...(count === undefined ? [] : [plural(count, 'picture')]),
    ...(classes === undefined ? [] : [classes]),
    ...(hash === undefined ? [] : [`SHA-256 ${hash.slice(0, 12)}…`]),
    ...Object.entries(provenance).map(([label, value]) => `${label} ${String(value)}`),
  ];
  return `${name}: ${facts.join(', ')}`;
}

function tableOf(scores: readonly Score[]): string {
  const rows = scores.map(({ label, value, deviation }) => [
    label,
    formatScore(value),
    deviation === undefined || deviation < 1e-9 * Math.abs(value) ? '' : `± ${formatScore(deviation)}`,
  ]);
  const lines = formatTable([['', 'score', ''], ...rows]).split('\n');
  return scores.reduce(
    (text, { remark }, i) => `${text}${lines[i + 1]}${remark === undefined ? '' : `  (${remark})`}\n`,
    `${lines[0]}\n`,
  );
}

/** Five digits, of which papers give at most four. */
function formatScore(value: number): string {
  return Number(value.toPrecision(5)).toString();
}
