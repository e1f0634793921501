/** @file Lists that give each picture its label: CSV, JSON, and a JSON object per line. */
import * as v from 'valibot';
import { DataError } from '../../core/errors.ts';
import { numberedClasses } from '../../data/datasets/latents/label-classes.ts';

/** Labels are numbers of classes, or their names. */
export type Label = number | string;

const label = v.union([v.number(), v.string()]);
const jsonSchema = v.union([
  v.object({ labels: v.union([v.array(v.tuple([v.string(), label])), v.record(v.string(), label)]) }),
  v.record(v.string(), label),
]);
const lineSchema = v.object({ file_name: v.string(), label });

/** Names of lists, in the order in which they are looked for. */
export const LABEL_LISTS = [
  'labels.csv',
  'labels.json',
  'metadata.csv',
  'metadata.jsonl',
  'dataset.json',
] as const;

/**
 * The label of each file that a list names.
 *
 * @param where - the list's file, whose ending says how it is written
 * @throws DataError if it is no such list
 */
export function parseLabelList(text: string, where: string): Map<string, Label> {
  try {
    if (where.endsWith('.csv')) return parseCsv(text);
    if (where.endsWith('.jsonl')) {
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      return new Map(
        lines.map((line) => {
          const entry = v.parse(lineSchema, JSON.parse(line));
          return [entry.file_name, entry.label];
        }),
      );
    }
    const list = v.parse(jsonSchema, JSON.parse(text));
    const labels =
      'labels' in list && typeof list.labels === 'object' ? list.labels : (list as Record<string, Label>);
    return new Map(Array.isArray(labels) ? labels : Object.entries(labels));
  } catch (cause) {
    throw new DataError({
      where,
      problem: `it gives no labels: ${(cause as Error).message.split('\n')[0]}`,
      fix: 'write a line file,label for each picture into labels.csv, or {"file": label, …} into labels.json',
      cause,
    });
  }
}

/** Two columns, file and label; a first line of column names says where they are. */
function parseCsv(text: string): Map<string, Label> {
  const rows = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map(csvFields);
  const header = rows[0]?.map((name) => name.toLowerCase()) ?? [];
  const file = header.findIndex((name) => ['file', 'file_name', 'filename', 'image', 'name'].includes(name));
  const labelColumn = header.findIndex((name) => ['label', 'class'].includes(name));
  const hasHeader = file >= 0 && labelColumn >= 0;
  const [from, to] = hasHeader ? [file, labelColumn] : [0, 1];
  return new Map(
    (hasHeader ? rows.slice(1) : rows).map((row) => {
      const [name, written] = [row[from], row[to]];
      if (name === undefined || written === undefined)
        throw new Error(`the line "${row.join(',')}" has no label`);
      return [name, /^\d+$/.test(written) ? Number(written) : written];
    }),
  );
}

/** Fields between commas; one in quotes may hold commas, and quotes written twice. */
function csvFields(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain!.trim() : quoted.replaceAll('""', '"'),
  );
}

/** Numbers are classes themselves; words are classes in their order. */
export function classesOf(
  labels: readonly Label[],
  where: string,
): { readonly classNames: readonly string[]; readonly labels: Int32Array } {
  const numbers = labels.filter((one) => typeof one === 'number');
  if (numbers.length === labels.length) {
    return { classNames: numberedClasses(numbers, where), labels: Int32Array.from(numbers) };
  }
  const classNames = [...new Set(labels.map(String))].sort();
  const numberOf = new Map(classNames.map((name, index) => [name, index]));
  return { classNames, labels: Int32Array.from(labels, (one) => numberOf.get(String(one))!) };
}
