/** @file Classes by name or number, as users write them. */
import { ConfigError } from '../../core/errors.ts';
import { nearest } from '../../core/nearest.ts';
import { IMAGENET_CLASSES } from './imagenet-classes.ts';

/** The classes of a model. */
export interface ClassList {
  readonly numClasses: number;
  /** One per class, or none. */
  readonly classNames: readonly string[];
}

/** The classes of a model. Those of 1000 without names are ImageNet's, in the order that all published models have. */
export function classesOf(
  { numClasses }: Pick<ClassList, 'numClasses'>,
  { classNames }: Pick<ClassList, 'classNames'>,
): ClassList {
  const isImageNet = classNames.length === 0 && numClasses === IMAGENET_CLASSES.length;
  return { numClasses, classNames: isImageNet ? IMAGENET_CLASSES : classNames };
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
 * The labels that a list such as `flags, food, 3` stands for, each once, in its order. A class is meant by its exact name,
 * which may contain commas; else by its name in any case, then in any punctuation; by its number; or by the beginning of
 * one name only. `all` are all.
 *
 * @param where - what the user calls the list
 * @throws ConfigError for a class that is not there, naming the nearest one, and for a text that means several
 */
export function chooseClasses(text: string, classes: ClassList, where = '--classes'): number[] {
  if (text.trim().toLowerCase() === 'all')
    return Array.from({ length: classes.numClasses }, (_, label) => label);
  const parts = text.split(',');
  const chosen = new Set<number>();
  for (let begin = 0; begin < parts.length; ) {
    const end = endOfName(parts, begin, classes);
    chosen.add(chooseClass(parts.slice(begin, end).join(',').trim(), classes, where));
    begin = end;
  }
  return [...chosen];
}

/** The longest run of parts that is an exact name; one part where there is none. */
function endOfName(parts: readonly string[], begin: number, { classNames }: ClassList): number {
  for (let end = parts.length; end > begin + 1; end--) {
    if (classNames.includes(parts.slice(begin, end).join(',').trim())) return end;
  }
  return begin + 1;
}

/** Ways in which a text can be a name, the strictest first. */
const SPELLINGS: readonly ((name: string) => string)[] = [
  (name) => name,
  (name) => name.toLowerCase(),
  askedSlug,
];

/** Of a text that asks for a class: -1 is no way to write the name 1. */
function askedSlug(text: string): string {
  return /^[-+.]\d/.test(text) ? '' : slugOf(text);
}

function chooseClass(text: string, classes: ClassList, where: string): number {
  const { classNames, numClasses } = classes;
  for (const spelled of SPELLINGS) {
    const meant = spelled(text);
    if (meant === '') continue;
    const labels = [...classNames.keys()].filter((label) => spelled(classNames[label]!) === meant);
    if (labels.length === 1) return labels[0]!;
    if (labels.length > 1) throw ambiguousClass(text, 'fits', labels, classes, where);
  }
  if (/^\d+$/.test(text) && Number(text) < numClasses) return Number(text);
  const slug = askedSlug(text);
  const slugs = classNames.map(slugOf);
  const beginning = slug === '' ? [] : [...slugs.keys()].filter((label) => slugs[label]!.startsWith(slug));
  if (beginning.length === 1) return beginning[0]!;
  if (beginning.length > 1) throw ambiguousClass(text, 'is the beginning of', beginning, classes, where);
  throw unknownClass(text, classes, where);
}

function ambiguousClass(
  text: string,
  relation: 'fits' | 'is the beginning of',
  labels: readonly number[],
  { classNames }: ClassList,
  where: string,
): ConfigError {
  return new ConfigError({
    where,
    problem: `"${text}" ${relation} ${labels.length} names`,
    facts: [['classes', listed(labels, classNames)]],
    fix: 'write the whole name exactly, or the number',
  });
}

function unknownClass(text: string, { numClasses, classNames }: ClassList, where: string): ConfigError {
  if (text === '') {
    return new ConfigError({
      where,
      problem: 'there is no class between two commas, or beside one',
      fix: 'write one comma between classes',
    });
  }
  const near = /\p{L}/u.test(text) ? nearestName(text, classNames) : undefined;
  return new ConfigError({
    where,
    problem: `there is no class "${text}": the model has ${numClasses}, numbered 0 to ${numClasses - 1}`,
    facts: classNames.length === 0 ? [] : [['classes', listed([...classNames.keys()], classNames)]],
    fix: near === undefined ? `use numbers from 0 to ${numClasses - 1}, or all` : `did you mean "${near}"?`,
  });
}

/** Names of many words are often meant by one of them. */
function nearestName(text: string, names: readonly string[]): string | undefined {
  const slug = slugOf(text);
  const meant = names.flatMap((name) =>
    [slugOf(name), ...slugOf(name).split('-')].map((part) => ({ part, name })),
  );
  const near = nearest(
    slug,
    meant.map(({ part }) => part),
  );
  return meant.find(({ part }) => part === near)?.name;
}

const LONGEST_LIST = 12;

function listed(labels: readonly number[], classNames: readonly string[]): string {
  const shown = labels.slice(0, LONGEST_LIST).map((label) => `${label} ${classNames[label]}`);
  const hidden = labels.length - shown.length;
  return shown.join(', ') + (hidden === 0 ? '' : ` … and ${hidden} more`);
}
