/** @file Results as lines of text. */
import { type Comparison, isWithin } from './comparison.ts';
import type { FixtureResult } from './run.ts';

const LABELS = { passed: 'pass', failed: 'FAIL', skipped: 'skip' } as const;
const LONGEST_LIST = 8;

/** One line per fixture, with the value that came nearest to its tolerance; below it the values that failed. */
export function formatResult(result: FixtureResult): string {
  const { status, kind, name, comparisons, notCompared, problem } = result;
  const head = `${LABELS[status]}  ${kind}  ${name}`;
  const worst = worstOf(comparisons);
  if (worst === undefined) return `${head}  ${indentFurtherLines(problem ?? 'nothing to compare')}`;
  const leftOut = notCompared.length === 0 ? '' : `; ${notCompared.length} not compared`;
  const count = `${comparisons.length} ${comparisons.length === 1 ? 'value' : 'values'}${leftOut}`;
  const lines = [`${head}  ${count}; closest to its limit: ${formatComparison(worst)}`];
  const failures = comparisons.filter((comparison) => !isWithin(comparison));
  for (const failure of failures.slice(0, LONGEST_LIST)) lines.push(`      ${formatComparison(failure)}`);
  if (failures.length > LONGEST_LIST) lines.push(`      … and ${failures.length - LONGEST_LIST} more`);
  return lines.join('\n');
}

function worstOf(comparisons: readonly Comparison[]): Comparison | undefined {
  return comparisons.reduce<Comparison | undefined>(
    (worst, comparison) => (worst === undefined || comparison.excess > worst.excess ? comparison : worst),
    undefined,
  );
}

function formatComparison({ quantity, maxAbs, relL2, tolerance, problem }: Comparison): string {
  if (problem !== undefined) return `${quantity}: ${problem} (${tolerance})`;
  const relative = Number.isFinite(relL2) ? `, rel L2 ${relL2.toExponential(2)}` : ''; // all zeros were recorded
  return `${quantity}: max-abs ${maxAbs.toExponential(2)}${relative} (${tolerance})`;
}

function indentFurtherLines(text: string): string {
  return text.replaceAll('\n', '\n      ');
}

export function formatSummary(results: readonly FixtureResult[]): string {
  const count = (status: FixtureResult['status']): number =>
    results.filter((result) => result.status === status).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}
