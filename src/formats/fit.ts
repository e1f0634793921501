/** @file Fits the tensors of a checkpoint to the parameters of a model: by name, all of them, or not at all. */
import { CheckpointError } from '../core/errors.ts';
import { formatShape, type Shape, sameShape } from '../core/shape.ts';

export interface ExpectedParameter {
  readonly name: string;
  readonly shape: Shape;
}

export interface FitContext {
  /** The checkpoint as the user names it. */
  readonly where: string;
  /** The model as the user names it. */
  readonly model: string;
  /** What to do where sizes differ in more than the number of classes. */
  readonly advice?: string | undefined;
}

interface Shaped {
  readonly shape: Shape;
}

interface Misshapen {
  readonly name: string;
  readonly inFile: Shape;
  readonly inModel: Shape;
}

interface Misfits {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshapen: readonly Misshapen[];
  readonly matches: number;
}

const LONGEST_LIST = 6;

/**
 * The tensors of a checkpoint, or what is known of them, in the order of `expected`.
 *
 * @throws CheckpointError listing missing, unexpected and misshapen names unless all names and shapes agree
 */
export function fitParameters<T extends Shaped>(
  expected: readonly ExpectedParameter[],
  tensors: ReadonlyMap<string, T>,
  context: FitContext,
): T[] {
  const misfits = findMisfits(expected, tensors);
  const { missing, unexpected, misshapen } = misfits;
  if (missing.length + unexpected.length + misshapen.length > 0) throw misfitError(misfits, context);
  return expected.map(({ name }) => tensors.get(name)!);
}

/** Left behind by profilers inside the modules they counted, and by layers that count for themselves. */
const COUNTERS = /(^|\.)(total_ops|total_params|num_batches_tracked)$/;

/**
 * Tensors of a checkpoint that a model does without: counters, and whole parts of which it has nothing, such as a head
 * that was used in training only. A tensor more within a part of the model is none: it may be of another model.
 */
export function unneeded(needed: readonly string[], names: Iterable<string>): string[] {
  const partOf = (name: string): string => name.split('.', 1)[0]!;
  const known = new Set(needed);
  const parts = new Set(needed.map(partOf));
  return [...names].filter((name) => !known.has(name) && (COUNTERS.test(name) || !parts.has(partOf(name))));
}

function findMisfits(expected: readonly ExpectedParameter[], tensors: ReadonlyMap<string, Shaped>): Misfits {
  const missing: string[] = [];
  const misshapen: Misshapen[] = [];
  for (const { name, shape } of expected) {
    const tensor = tensors.get(name);
    if (tensor === undefined) missing.push(name);
    else if (!sameShape(tensor.shape, shape)) misshapen.push({ name, inFile: tensor.shape, inModel: shape });
  }
  const expectedNames = new Set(expected.map(({ name }) => name));
  const unexpected = [...tensors.keys()].filter((name) => !expectedNames.has(name));
  return { missing, unexpected, misshapen, matches: expected.length - missing.length - misshapen.length };
}

function misfitError(misfits: Misfits, { where, model, advice }: FitContext): CheckpointError {
  const { missing, unexpected, misshapen, matches } = misfits;
  const shapes = misshapen.map(
    ({ name, inFile, inModel }) => `${name}: file ${formatShape(inFile)}, model ${formatShape(inModel)}`,
  );
  const facts: [string, string][] = [];
  if (missing.length > 0) facts.push(['missing', shorten(missing).join('   ')]);
  if (unexpected.length > 0) facts.push(['unexpected', shorten(unexpected).join('   ')]);
  for (const [i, line] of shorten(shapes).entries()) facts.push([i === 0 ? 'misshapen' : '', line]);
  return new CheckpointError({
    where,
    problem:
      `does not fit ${model}: ${matches} ${matches === 1 ? 'key matches' : 'keys match'}, ` +
      `${missing.length} missing, ${unexpected.length} unexpected, ${misshapen.length} misshapen`,
    facts,
    fix: suggestFix(misfits, model, advice),
  });
}

function shorten(lines: readonly string[]): string[] {
  // One line more than the limit is not worth a "1 more".
  if (lines.length <= LONGEST_LIST + 1) return [...lines];
  return [...lines.slice(0, LONGEST_LIST), `… and ${lines.length - LONGEST_LIST} more`];
}

function suggestFix(misfits: Misfits, model: string, advice: string | undefined): string {
  const { missing, unexpected, misshapen, matches } = misfits;
  const tableRows = differingTableRows(misfits);
  if (tableRows !== undefined) {
    // As in DiT, the table of label embeddings ends in a row for the null label.
    const classes = tableRows - 1;
    return `the file has ${classes} classes: pass --num-classes ${classes}`;
  }
  const prefix = strayPrefix(missing, unexpected);
  if (prefix !== undefined) return `the names in the file begin with "${prefix}": remove it from them`;
  if (advice !== undefined) return advice;
  if (missing.length + unexpected.length === 0 && misshapen.every(({ name }) => name === 'pos_embed'))
    return 'give the size of the pictures that it was trained on, as in --image-size 384x256';
  if (matches === 0 && misshapen.length === 0)
    return `the file belongs to another kind of model: choose the --model it was trained as`;
  if (missing.length + unexpected.length === 0)
    return `the file has another size of this model: choose its preset and options instead of ${model}`;
  return `choose the --model and options that the file was trained with instead of ${model}`;
}

/** Rows of the file's embedding tables when they alone differ, all in the same way; otherwise undefined. */
function differingTableRows({ missing, unexpected, misshapen }: Misfits): number | undefined {
  if (missing.length + unexpected.length > 0 || misshapen.length === 0) return undefined;
  const [first] = misshapen;
  const rows = first!.inFile[0];
  const areTables = misshapen.every(
    ({ name, inFile, inModel }) => inFile[0] === rows && isTableOfOtherClasses(name, inFile, inModel),
  );
  return areTables ? rows : undefined;
}

/** Do embeddings of classes differ in nothing but how many classes there are? */
export function isTableOfOtherClasses(name: string, inFile: Shape, inModel: Shape): boolean {
  return isClassTable(name, inFile, inModel) && inFile[0] !== inModel[0];
}

/** Are they embeddings of classes, as many as there may be in each? */
export function isClassTable(name: string, inFile: Shape, inModel: Shape): boolean {
  return (
    name.includes('embedding_table') &&
    inFile.length === 2 &&
    inModel.length === 2 &&
    inFile[1] === inModel[1]
  );
}

/** What the file puts before every name the model misses, such as `module.` or `ema.`; undefined when nothing. */
function strayPrefix(missing: readonly string[], unexpected: readonly string[]): string | undefined {
  const [firstMissing] = missing;
  if (firstMissing === undefined) return undefined;
  const inFile = unexpected.find((name) => name.endsWith(`.${firstMissing}`));
  if (inFile === undefined) return undefined;
  const prefix = inFile.slice(0, -firstMissing.length);
  const names = new Set(unexpected);
  return missing.every((name) => names.has(prefix + name)) ? prefix : undefined;
}
