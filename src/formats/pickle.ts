/**
 * @file Python's pickle format, protocols 0 to 5, read as data: https://peps.python.org/pep-0307/, pep-3154, pep-0574.
 *
 * A pickle is a program for a stack machine, and can call any function of Python. This machine calls none: every global
 * that a pickle names is looked up in a table of the caller, which says what to build instead, or refuses it. Nothing
 * here recurses, and a pickle cannot make more values than the limits below allow.
 */
import { CheckpointError } from '../core/errors.ts';
import {
  decimalFloat,
  decimalInteger,
  quotedText,
  rawUnicodeText,
  twosComplement,
} from './pickle-literals.ts';
import { damaged } from './tensor-file.ts';

/** Lists, tuples and sets are arrays, dictionaries are maps; integers beyond 2^53 are bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleDict
  | PickleObject;

export type PickleDict = Map<PickleValue, PickleValue>;

/** Base of what a table of globals can build beside plain values. */
export abstract class PickleObject {
  /** Tells classes without fields of their own from any object. */
  protected abstract readonly kind: string;
  /** Takes what the pickle says of an object after it is made. Default: it says nothing that is needed. */
  setState?(state: PickleValue): void;
}

/** A class or function by its Python name, such as `collections.OrderedDict`, and what stands for calling it. */
export class PickleGlobal extends PickleObject {
  protected readonly kind = 'global';
  readonly name: string;
  readonly call: ((args: readonly PickleValue[]) => PickleValue) | undefined;

  constructor(name: string, call?: (args: readonly PickleValue[]) => PickleValue) {
    super();
    this.name = name;
    this.call = call;
  }
}

/**
 * Bytes as protocols before 3 write them: characters that stand for one byte each. They are decoded when they are asked
 * for: a few bytes of a file may name the same text again and again.
 */
export class PickleBytes extends PickleObject {
  protected readonly kind = 'bytes';
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.text, (character) => character.charCodeAt(0));
  }
}

/** An object of any class: what it holds by name, and nothing of what it does. */
export class PickleRecord extends PickleObject {
  protected readonly kind = 'record';
  /** Or the name of the function that would have made it. */
  readonly className: string;
  /** Attributes, and the items of what is like a dictionary. */
  readonly attributes: PickleDict;

  constructor(className: string, attributes: PickleDict = new Map()) {
    super();
    this.className = className;
    this.attributes = attributes;
  }
}

export interface PickleHost {
  /** What stands for the global of this name. @throws CheckpointError if it is refused */
  global(name: string): PickleGlobal;
  /** What an identifier of something outside the pickle means. */
  persistent(id: PickleValue): PickleValue;
}

/** Instructions of one pickle, and what their calls copy. PyTorch writes some 50 instructions per tensor. */
const MAX_INSTRUCTIONS = 2_000_000;
const LATEST_PROTOCOL = 5;
/** Stands for integers longer than any count or hash takes, which cost time without end. */
const TOO_LONG = new PickleRecord('builtins.int');

/**
 * Reads the pickle that starts at `begin`. `undefined` when the bytes end before it does.
 *
 * @param where what the user calls the file
 * @throws CheckpointError if the pickle is damaged, or asks for what `host` refuses
 */
export function unpickle(
  bytes: Uint8Array,
  host: PickleHost,
  where: string,
  begin = 0,
): { readonly value: PickleValue; readonly end: number } | undefined {
  const machine = new PickleMachine(bytes, host, where, begin);
  try {
    return machine.run();
  } catch (error) {
    if (error instanceof EndOfBytes) return undefined;
    throw error;
  }
}

class EndOfBytes extends Error {}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** What Python 2 wrote as bytes was text all the same; its first 128 characters are those of UTF-8. */
const latin1 = new TextDecoder('latin1');

class PickleMachine {
  private readonly stack: PickleValue[] = [];
  /** Heights of the stack that later instructions come back to. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly view: DataView;
  private position: number;
  /** Instructions so far, and values that calls copied. */
  private work = 0;
  private readonly bytes: Uint8Array;
  private readonly host: PickleHost;
  private readonly where: string;

  constructor(bytes: Uint8Array, host: PickleHost, where: string, begin: number) {
    this.bytes = bytes;
    this.host = host;
    this.where = where;
    this.position = begin;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): { value: PickleValue; end: number } {
    for (;;) {
      const opcode = this.unsigned(1);
      if (opcode === 0x2e) return { value: this.pop(), end: this.position }; // '.', STOP
      this.spend(1);
      this.execute(opcode);
    }
  }

  private spend(work: number): void {
    this.work += work;
    if (this.work > MAX_INSTRUCTIONS) throw this.refused(`more than ${MAX_INSTRUCTIONS} instructions`);
  }

  /** Names of the instructions are those of Python's `pickletools`. */
  private execute(opcode: number): void {
    const { stack } = this;
    switch (opcode) {
      case 0x80: // PROTO
        this.checkProtocol(this.unsigned(1));
        return;
      case 0x95: // FRAME: how much an unbuffered reader may read at once
        this.take(8);
        return;

      // Plain values
      case 0x4e: // 'N', NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
        stack.push(true);
        return;
      case 0x89: // NEWFALSE
        stack.push(false);
        return;
      case 0x4b: // 'K', BININT1
        stack.push(this.unsigned(1));
        return;
      case 0x4d: // 'M', BININT2
        stack.push(this.unsigned(2));
        return;
      case 0x4a: // 'J', BININT
        stack.push(this.unsigned(4) | 0);
        return;
      case 0x8a: // LONG1
        stack.push(twosComplement(this.span(this.unsigned(1))) ?? TOO_LONG);
        return;
      case 0x8b: // LONG4
        stack.push(twosComplement(this.span(this.unsigned(4))) ?? TOO_LONG);
        return;
      case 0x49: // 'I', INT, which booleans once were
        stack.push(this.integerOrBoolean(this.line()));
        return;
      case 0x4c: // 'L', LONG
        stack.push(decimalInteger(this.line()) ?? TOO_LONG);
        return;
      case 0x46: // 'F', FLOAT
        stack.push(this.literal(decimalFloat(this.line()), 'a float'));
        return;
      case 0x47: // 'G', BINFLOAT
        stack.push(this.view.getFloat64(this.take(8)));
        return;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(this.text(this.unsigned(1)));
        return;
      case 0x58: // 'X', BINUNICODE
        stack.push(this.text(this.unsigned(4)));
        return;
      case 0x8d: // BINUNICODE8
        stack.push(this.text(this.unsigned(8)));
        return;
      case 0x55: // 'U', SHORT_BINSTRING of Python 2
        stack.push(latin1.decode(this.span(this.unsigned(1))));
        return;
      case 0x54: // 'T', BINSTRING of Python 2
        stack.push(latin1.decode(this.span(this.unsigned(4))));
        return;
      case 0x53: // 'S', STRING
        stack.push(this.literal(quotedText(this.line()), 'text'));
        return;
      case 0x56: // 'V', UNICODE
        stack.push(rawUnicodeText(this.line()));
        return;
      case 0x43: // 'C', SHORT_BINBYTES
        stack.push(this.span(this.unsigned(1)));
        return;
      case 0x42: // 'B', BINBYTES
        stack.push(this.span(this.unsigned(4)));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(this.span(this.unsigned(8)));
        return;

      // Tuples, lists, sets, dictionaries
      case 0x29: // ')', EMPTY_TUPLE
      case 0x5d: // ']', EMPTY_LIST
      case 0x8f: // EMPTY_SET
        stack.push([]);
        return;
      case 0x7d: // '}', EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(this.popMany(opcode - 0x84));
        return;
      case 0x74: // 't', TUPLE
      case 0x6c: // 'l', LIST
      case 0x91: // FROZENSET
        stack.push(this.popToMark());
        return;
      case 0x64: // 'd', DICT
        this.dictionary(this.popToMark());
        return;
      case 0x61: // 'a', APPEND
        this.append(this.popMany(1));
        return;
      case 0x65: // 'e', APPENDS
      case 0x90: // ADDITEMS
        this.append(this.popToMark());
        return;
      case 0x73: // 's', SETITEM
        this.setItems(this.popMany(2));
        return;
      case 0x75: // 'u', SETITEMS
        this.setItems(this.popToMark());
        return;

      // Stack and memo
      case 0x28: // '(', MARK
        this.marks.push(stack.length);
        return;
      case 0x30: // '0', POP
        this.pop();
        return;
      case 0x31: // '1', POP_MARK
        this.popToMark();
        return;
      case 0x32: // '2', DUP
        stack.push(this.top());
        return;
      case 0x70: // 'p', PUT
        this.memo.set(Number(this.line()), this.top());
        return;
      case 0x67: // 'g', GET
        stack.push(this.remembered(Number(this.line())));
        return;
      case 0x71: // 'q', BINPUT
        this.memo.set(this.unsigned(1), this.top());
        return;
      case 0x72: // 'r', LONG_BINPUT
        this.memo.set(this.unsigned(4), this.top());
        return;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        return;
      case 0x68: // 'h', BINGET
        stack.push(this.remembered(this.unsigned(1)));
        return;
      case 0x6a: // 'j', LONG_BINGET
        stack.push(this.remembered(this.unsigned(4)));
        return;

      // What the host decides
      case 0x63: // 'c', GLOBAL
        stack.push(this.host.global(`${this.line()}.${this.line()}`));
        return;
      case 0x93: // STACK_GLOBAL
        stack.push(this.stackGlobal());
        return;
      case 0x82: // EXT1: a number for a global
      case 0x83: // EXT2
      case 0x84: // EXT4
        stack.push(
          this.host.global(`copyreg.extension_${this.unsigned((1 << (opcode - 0x82)) as 1 | 2 | 4)}`),
        );
        return;
      case 0x52: // 'R', REDUCE
      case 0x81: // NEWOBJ
        this.call(...(this.popMany(2) as [PickleValue, PickleValue]));
        return;
      case 0x92: {
        // NEWOBJ_EX, with keywords
        const [callee, args] = this.popMany(3) as [PickleValue, PickleValue];
        this.call(callee, args);
        return;
      }
      case 0x69: // 'i', INST
        this.call(this.host.global(`${this.line()}.${this.line()}`), this.popToMark());
        return;
      case 0x6f: {
        // 'o', OBJ
        const [callee = null, ...args] = this.popToMark();
        this.call(callee, args);
        return;
      }
      case 0x62: // 'b', BUILD
        this.setState(this.pop());
        return;
      case 0x51: // 'Q', BINPERSID
        stack.push(this.host.persistent(this.pop()));
        return;
      case 0x50: // 'P', PERSID
        stack.push(this.host.persistent(this.line()));
        return;
      default:
        throw this.broken(
          `0x${opcode.toString(16).padStart(2, '0')} is no instruction that stands in a file`,
        );
    }
  }

  private checkProtocol(protocol: number): void {
    if (protocol <= LATEST_PROTOCOL) return;
    throw this.broken(`pickle protocol ${protocol} is unknown: 0 to ${LATEST_PROTOCOL} are read`);
  }

  private stackGlobal(): PickleGlobal {
    const [module, name] = this.popMany(2);
    if (typeof module !== 'string' || typeof name !== 'string') throw this.broken('a global has no name');
    return this.host.global(`${module}.${name}`);
  }

  private call(callee: PickleValue, args: PickleValue): void {
    // What an unknown function gave may be called in turn.
    if (callee instanceof PickleRecord) {
      this.stack.push(new PickleRecord(callee.className));
      return;
    }
    if (!(callee instanceof PickleGlobal)) throw this.broken('what is called is no function');
    if (!Array.isArray(args)) throw this.broken(`the arguments of ${callee.name} are no tuple`);
    const made = callee.call?.(args) ?? new PickleRecord(callee.name);
    this.spend(Array.isArray(made) ? made.length : made instanceof Map ? made.size : 0);
    this.stack.push(made);
  }

  /** Items of objects have no names, and are let go. */
  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (list instanceof PickleRecord) return;
    if (!Array.isArray(list)) throw this.broken('items are added to what is no list');
    for (const item of items) list.push(item);
  }

  private setItems(items: readonly PickleValue[]): void {
    const object = this.top();
    const dict = object instanceof PickleRecord ? object.attributes : object;
    if (!(dict instanceof Map)) throw this.broken('items are set in what is no dictionary');
    if (items.length % 2 !== 0) throw this.broken('a key has no value');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  private dictionary(items: readonly PickleValue[]): void {
    this.stack.push(new Map());
    this.setItems(items);
  }

  /** Attributes of a record. Those of a dictionary (`_metadata` of a state dict) or a tensor say nothing about weights. */
  private setState(state: PickleValue): void {
    const object = this.top();
    if (object instanceof PickleRecord) {
      // Or a tuple: attributes that have a dictionary, and those that have slots.
      for (const part of Array.isArray(state) && state.length === 2 ? state : [state]) {
        if (!(part instanceof Map)) continue;
        this.spend(part.size);
        for (const [name, value] of part) object.attributes.set(name, value);
      }
    } else if (object instanceof PickleObject) {
      object.setState?.(state);
    } else if (!(object instanceof Map || Array.isArray(object))) {
      throw this.broken('attributes are set in what has none');
    }
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw this.broken(`value ${index} is used before it is there`);
    return value;
  }

  private top(): PickleValue {
    // Values below the last mark belong to what is being built further out.
    if (this.stack.length === (this.marks.at(-1) ?? 0)) throw this.broken('a value is missing on the stack');
    return this.stack.at(-1)!;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popMany(count: number): PickleValue[] {
    if (this.stack.length - (this.marks.at(-1) ?? 0) < count) {
      throw this.broken('a value is missing on the stack');
    }
    return this.stack.splice(-count);
  }

  private popToMark(): PickleValue[] {
    const height = this.marks.pop();
    if (height === undefined) throw this.broken('a mark is missing on the stack');
    return this.stack.splice(height);
  }

  private unsigned(byteCount: 1 | 2 | 4 | 8): number {
    const begin = this.take(byteCount);
    switch (byteCount) {
      case 1:
        return this.view.getUint8(begin);
      case 2:
        return this.view.getUint16(begin, true);
      case 4:
        return this.view.getUint32(begin, true);
      case 8:
        return Number(this.view.getBigUint64(begin, true));
    }
  }

  private literal<T extends PickleValue>(value: T | undefined, what: string): T {
    if (value === undefined) throw this.broken(`${what} is written in a way that Python does not`);
    return value;
  }

  private integerOrBoolean(line: string): PickleValue {
    if (line === '00' || line === '01') return line === '01';
    return decimalInteger(line) ?? TOO_LONG;
  }

  private text(byteCount: number): string {
    const bytes = this.span(byteCount);
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw this.broken('text is not UTF-8', cause);
    }
  }

  /** Up to the next line feed, as protocol 0 writes text and all protocols may write names of globals. */
  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new EndOfBytes();
    const line = latin1.decode(this.span(end - this.position));
    this.position = end + 1;
    return line;
  }

  private span(byteCount: number): Uint8Array {
    const begin = this.take(byteCount);
    return this.bytes.subarray(begin, begin + byteCount);
  }

  /** Moves on by `byteCount` bytes and returns where they begin. */
  private take(byteCount: number): number {
    const begin = this.position;
    if (byteCount > this.bytes.length - begin) throw new EndOfBytes();
    this.position += byteCount;
    return begin;
  }

  private broken(problem: string, cause?: unknown): CheckpointError {
    return damaged(this.where, `its pickle is broken near byte ${this.position}: ${problem}`, cause);
  }

  private refused(problem: string): CheckpointError {
    return new CheckpointError({
      where: this.where,
      problem: `its pickle is refused at byte ${this.position}: ${problem}`,
      fix: 'no checkpoint needs that; where you trust the file, load it in PyTorch and save its weights alone',
    });
  }
}
