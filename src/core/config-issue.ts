/** @file What a configuration expects where something else was found, in words. */
import type * as v from 'valibot';

/** Kinds of values as people call them. */
const KIND_NAMES: Readonly<Record<string, string>> = {
  Object: 'an object with keys',
  Array: 'a list, as in [1,2]',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
};

export function expectedValue({ expected, message, requirement, type }: v.BaseIssue<unknown>): string {
  if (type === 'custom') return message;
  if (type === 'min_value') return `${requirement} or more`;
  if (type === 'max_value') return `${requirement} or less`;
  if (type === 'gt_value') return `a number above ${requirement}`;
  if (type === 'lt_value') return `a number below ${requirement}`;
  if (type === 'safe_integer') return 'a whole number';
  return (expected ?? 'another value')
    .replace(/^\((.*)\)$/, '$1')
    .split(' | ')
    .map((kind) => KIND_NAMES[kind] ?? kind.replaceAll('"', ''))
    .join(' or ');
}

/** Is it a key that is not there? */
export function isMissingKey({ type, expected }: v.BaseIssue<unknown>): boolean {
  return type === 'strict_object' && expected !== 'never' && expected !== 'Object';
}

/** Is it a key that the schema does not know? */
export function isUnknownKey({ type, expected }: v.BaseIssue<unknown>): boolean {
  return type === 'strict_object' && expected === 'never';
}
