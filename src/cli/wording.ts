/** @file What several commands say in the same words. */
import { relative } from 'node:path';
import { printable } from '../core/printable.ts';
import type { SavedNetwork } from '../models/saved-model.ts';

const WEIGHTS_IN_WORDS = new Map([
  ['ema', 'EMA weights'],
  ['model', 'last weights'],
  ['unnamed', 'its weights'],
]);

/** Which model of which file: one line, and below it what was found out about a file of another program. */
export function modelLines(
  { card, source, findings }: Pick<SavedNetwork, 'card' | 'source' | 'findings'>,
  path: string,
): string {
  const steps = card.step === 0 ? '' : `step ${card.step}, `;
  const lines = [
    `${card.name}, ${steps}${WEIGHTS_IN_WORDS.get(source) ?? `average ${source}`} (${shortest(path)})`,
    ...findings.map(([label, text]) => `  ${label.padEnd(7)}  ${printable(text)}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** The path as the user would type it: from here where it lies below, else as it is. */
export function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') ? path : fromHere;
}
