/** @file Finds the tensors in what a pickle holds, and names them by the way to them. */
import { CheckpointError } from '../core/errors.ts';
import { type PickleDict, PickleRecord, type PickleValue } from './pickle.ts';
import { TorchTensor, UnreadableTensor } from './torch-objects.ts';

export interface NamedTensors {
  /** By their keys from the outermost in, with dots between. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Why what has such a name is no tensor that can be read. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Text, numbers and booleans of the dictionaries and objects of the outermost one, such as `args.model`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** State dicts lie a few levels deep. */
const MAX_DEPTH = 32;
/** Of entries and of characters in names: a small file can say that it holds the same dictionary again and again. */
const MAX_ENTRIES = 2 ** 21;
const MAX_NAME_CHARACTERS = 2 ** 24;

/** @throws CheckpointError where names without end come of a finite file */
export function findNamed(root: PickleValue, where: string): NamedTensors {
  const walk = new Walk(where);
  walk.enter(root, '', 0);
  return walk;
}

class Walk implements NamedTensors {
  readonly tensors = new Map<string, TorchTensor>();
  readonly unreadable = new Map<string, string>();
  readonly metadata: Record<string, string> = {};
  private readonly where: string;
  /** Objects refer to each other in circles, and are entered once; dictionaries may have several names. */
  private readonly entered = new Set<PickleRecord>();
  private entries = 0;
  private characters = 0;

  constructor(where: string) {
    this.where = where;
  }

  enter(value: PickleValue, prefix: string, depth: number): void {
    if (depth > MAX_DEPTH) return;
    if (value instanceof PickleRecord) {
      if (this.entered.has(value)) return;
      this.entered.add(value);
    }
    for (const [key, entry] of entriesOf(value)) {
      if (++this.entries > MAX_ENTRIES) throw this.endless();
      const name = key === '' ? prefix : `${prefix}${key}`;
      if (entry instanceof TorchTensor) this.tensors.set(this.counted(name), entry);
      else if (entry instanceof UnreadableTensor) this.unreadable.set(this.counted(name), entry.reason);
      else if (isScalar(entry)) {
        if (depth === 1 && !Array.isArray(value)) this.metadata[this.counted(name)] = String(entry);
      } else if (isContainer(entry)) {
        const before = this.tensors.size;
        this.enter(entry, key === '' ? prefix : `${name}.`, depth + 1);
        if (entry instanceof PickleRecord && this.tensors.size === before) {
          this.unreadable.set(this.counted(name), `is an object of ${entry.className}, which is not built`);
        }
      }
    }
  }

  private counted(name: string): string {
    this.characters += name.length;
    if (this.characters > MAX_NAME_CHARACTERS) throw this.endless();
    return name;
  }

  private endless(): CheckpointError {
    return new CheckpointError({
      where: this.where,
      problem: 'its dictionaries hold each other so often that the names of its tensors have no end',
      fix: 'where you trust the file, load it in PyTorch and save its weights alone',
    });
  }
}

function isContainer(value: PickleValue): boolean {
  return value instanceof Map || value instanceof PickleRecord || Array.isArray(value);
}

/** A whole module has its tensors and its parts in three dictionaries, which are no part of their names. */
const PARTS_OF_A_MODULE = ['_parameters', '_buffers', '_modules'];

/** Keys that are names, and places in lists. Whole numbers are the keys of an optimizer, whose tensors are no weights. */
function* entriesOf(value: PickleValue): Iterable<readonly [string, PickleValue]> {
  if (Array.isArray(value)) {
    for (const [place, item] of value.entries()) yield [String(place), item];
    return;
  }
  const isModule = value instanceof PickleRecord && value.attributes.has('_modules');
  for (const [key, entry] of dictOf(value) ?? []) {
    if (isModule && PARTS_OF_A_MODULE.includes(key as string)) yield ['', entry];
    else if (typeof key === 'string') yield [key, entry];
    else if (typeof key === 'number' && !Number.isInteger(key)) yield [String(key), entry];
  }
}

function dictOf(value: PickleValue): PickleDict | undefined {
  if (value instanceof PickleRecord) return value.attributes;
  return value instanceof Map ? value : undefined;
}

function isScalar(value: PickleValue): boolean {
  return ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
}
