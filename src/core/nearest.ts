/** @file The name that somebody may have meant. */
import { closest, distance } from 'fastest-levenshtein';

/** The share of the longer name's characters that may differ; beyond it a likeness is an accident. */
const FARTHEST = 0.65;

/** The name that is spelled most like `name`, whatever its case, or that holds it; undefined where none is like it. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || name === '') return undefined;
  const [asked, names] = [name.toLowerCase(), known.map((each) => each.toLowerCase())];
  const found = closest(asked, names);
  const isAlike = distance(asked, found) <= FARTHEST * Math.max(asked.length, found.length);
  return known[isAlike ? names.indexOf(found) : names.findIndex((each) => each.includes(asked))];
}

/** `did you mean steps?`, or the names that there are. */
export function suggestion(name: string, known: readonly string[]): string {
  const found = nearest(name, known);
  return found === undefined ? `use one of ${known.join(', ')}` : `did you mean ${found}?`;
}
