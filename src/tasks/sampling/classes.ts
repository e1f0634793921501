/** @file Classes by name or number, as users write them. */
import { closest } from 'fastest-levenshtein';
import { ConfigError } from '../../core/errors.ts';

/** The classes of a model. */
export interface ClassList {
  readonly numClasses: number;
  /** One per class, or none. */
  readonly classNames: readonly string[];
}

/** What a class is called; without a name, its number. */
export function className({ classNames }: ClassList, label: number): string {
  return classNames[label] ?? String(label);
}

/**
 * Each class's name for file names: lower case, words joined by `-`, never the same twice.
 */
export function classSlugs(classes: ClassList): string[] {
  const slugs = Array.from({ length: classes.numClasses }, (_, label) => slugOf(className(classes, label)));
  return slugs.map((slug, label) => {
    if (slug === '') return `class-${label}`;
    return slugs.indexOf(slug) === slugs.lastIndexOf(slug) ? slug : `${slug}-${label}`;
  });
}

function slugOf(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '');
}

/**
 * The labels that a list such as `flags, food, 3` stands for, each once, in its order. A class is meant by its name
 * (in any case and punctuation), by the beginning of one name only, or by its number; `all` are all.
 *
 * @throws ConfigError for a class that is not there, naming the nearest one
 */
export function chooseClasses(text: string, classes: ClassList): number[] {
  if (text.trim().toLowerCase() === 'all')
    return Array.from({ length: classes.numClasses }, (_, label) => label);
  const chosen = text.split(',').map((part) => chooseClass(part.trim(), classes));
  return [...new Set(chosen)];
}

function chooseClass(text: string, classes: ClassList): number {
  const slug = slugOf(text);
  const slugs = classes.classNames.map(slugOf);
  if (slug !== '' && slugs.includes(slug)) return slugs.indexOf(slug);
  if (/^\d+$/.test(text) && Number(text) < classes.numClasses) return Number(text);
  const beginning = slug === '' ? [] : [...slugs.keys()].filter((label) => slugs[label]!.startsWith(slug));
  if (beginning.length === 1) return beginning[0]!;
  throw beginning.length > 1 ? ambiguousClass(text, beginning, classes) : unknownClass(text, classes);
}

function ambiguousClass(text: string, labels: readonly number[], { classNames }: ClassList): ConfigError {
  return new ConfigError({
    where: '--classes',
    problem: `"${text}" is the beginning of ${labels.length} names`,
    facts: [['classes', listed(labels, classNames)]],
    fix: 'write more of the name, or the number',
  });
}

function unknownClass(text: string, { numClasses, classNames }: ClassList): ConfigError {
  const meansName = classNames.length > 0 && /\p{L}/u.test(text);
  return new ConfigError({
    where: '--classes',
    problem: `there is no class "${text}": the model has ${numClasses}, numbered 0 to ${numClasses - 1}`,
    facts: classNames.length === 0 ? [] : [['classes', listed([...classNames.keys()], classNames)]],
    fix: meansName
      ? `did you mean "${nearestName(text, classNames)}"?`
      : `use numbers from 0 to ${numClasses - 1}, or all`,
  });
}

/** Names of many words are often meant by one of them. */
function nearestName(text: string, names: readonly string[]): string {
  const slug = slugOf(text);
  const meant = names.flatMap((name) =>
    [slugOf(name), ...slugOf(name).split('-')].map((part) => ({ part, name })),
  );
  const parts = meant.map(({ part }) => part);
  return meant[parts.indexOf(closest(slug, parts))]!.name;
}

const LONGEST_LIST = 12;

function listed(labels: readonly number[], classNames: readonly string[]): string {
  const shown = labels.slice(0, LONGEST_LIST).map((label) => `${label} ${classNames[label]}`);
  const hidden = labels.length - shown.length;
  return shown.join(', ') + (hidden === 0 ? '' : ` … and ${hidden} more`);
}
