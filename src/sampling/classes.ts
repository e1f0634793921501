/** @file Classes by name or number, as users write them. */
import { closest } from 'fastest-levenshtein';
import { ConfigError } from '../core/errors.ts';

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
  const slugs = classes.classNames.map(slugOf);
  const slug = slugOf(text);
  if (slug !== '') {
    const named = slugs.indexOf(slug);
    if (named >= 0) return named;
    if (/^\d+$/.test(text) && Number(text) < classes.numClasses) return Number(text);
    const beginning = [...slugs.keys()].filter((label) => slugs[label]!.startsWith(slug));
    if (beginning.length === 1) return beginning[0]!;
  }
  throw unknownClass(text, slugs, classes);
}

function unknownClass(text: string, slugs: readonly string[], classes: ClassList): ConfigError {
  const { numClasses, classNames } = classes;
  const isNumber = /^\d+$/.test(text);
  const named = classNames.map((name, label) => `${label} ${name}`).join(', ');
  return new ConfigError({
    where: '--classes',
    problem: `there is no class "${text}": the model has ${numClasses}, numbered 0 to ${numClasses - 1}`,
    facts: classNames.length === 0 ? [] : [['classes', named]],
    fix:
      slugs.length === 0 || isNumber || text === ''
        ? `use numbers from 0 to ${numClasses - 1}, or all`
        : `did you mean ${JSON.stringify(classNames[slugs.indexOf(closest(slugOf(text), [...slugs]))])}?`,
  });
}
