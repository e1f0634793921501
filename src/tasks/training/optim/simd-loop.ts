/**
 * @file Element-by-element formulas as a WebAssembly module of one loop, four float32 at a time. The bytes are written
 * here, so there is no build step: https://webassembly.github.io/spec/core/binary/.
 */

/** What the loop computes for four elements. A value used twice is one object, and is computed once. */
export type Vector =
  | { readonly kind: 'array'; readonly index: number }
  | { readonly kind: 'constant'; readonly index: number }
  | { readonly kind: 'operation'; readonly opcode: number; readonly operands: readonly Vector[] };

const operation =
  (opcode: number) =>
  (...operands: readonly Vector[]): Vector => ({ kind: 'operation', opcode, operands });

type Unary = (x: Vector) => Vector;
type Binary = (x: Vector, y: Vector) => Vector;

export const sqrt: Unary = operation(0xe3);
export const add: Binary = operation(0xe4);
export const sub: Binary = operation(0xe5);
export const mul: Binary = operation(0xe6);
export const div: Binary = operation(0xe7);
/** The smaller of two; not a number where either is none. */
export const min: Binary = operation(0xe8);

export interface SimdLoop {
  /** Arrays in memory, one behind the other. */
  readonly arrays: number;
  /** Elements from the start of one array to the next; a multiple of 4. */
  readonly arrayLength: number;
  readonly constants: number;
  /** New contents of arrays by index. All are computed from the old contents. */
  readonly results: ReadonlyMap<number, Vector>;
}

const VALUE = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;
const INSTRUCTION = { loop: 0x03, end: 0x0b, brIf: 0x0d, get: 0x20, set: 0x21, i32Const: 0x41 } as const;
const I32 = { lessUnsigned: 0x49, add: 0x6a } as const;
const V128 = { load: 0x00, store: 0x0b, splat: 0x13 } as const;
const SECTION = { type: 1, function: 3, memory: 5, export: 7, code: 10 } as const;
const VECTOR_BYTES = 16;
const PAGE_BYTES = 65_536;

/**
 * The module: it exports `memory` and `run(bytes: i32, ...constants: f32)`, which works on the first `bytes` of each
 * array, at least one and rounded up to whole vectors.
 */
export function encodeSimdLoop(loop: SimdLoop): Uint8Array<ArrayBuffer> {
  const { arrays, arrayLength, constants } = loop;
  const body = encodeBody(loop);
  const parameters = [VALUE.i32, ...Array<number>(constants).fill(VALUE.f32)];
  const pages = Math.ceil((arrays * arrayLength * Float32Array.BYTES_PER_ELEMENT) / PAGE_BYTES);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(SECTION.type, [[0x60, ...list(parameters.map((type) => [type])), ...list([])]]),
    ...section(SECTION.function, [[0]]),
    ...section(SECTION.memory, [[0x00, ...unsigned(pages)]]),
    ...section(SECTION.export, [
      [...name('memory'), 0x02, 0],
      [...name('run'), 0x00, 0],
    ]),
    ...section(SECTION.code, [[...unsigned(body.length), ...body]]),
  ]);
}

function encodeBody({ arrays, arrayLength, constants, results }: SimdLoop): number[] {
  // Locals: the parameters, the position in bytes, and then a vector for each constant, array and operation.
  const position = 1 + constants;
  const splatted = position + 1;
  let vectors = constants;
  const newVector = (): number => splatted + vectors++;
  const address = (array: number): number[] => [
    ...unsigned(Math.log2(VECTOR_BYTES)),
    ...unsigned(array * arrayLength * Float32Array.BYTES_PER_ELEMENT),
  ];

  const code: number[] = [];
  for (let i = 0; i < constants; i++) code.push(...get(1 + i), ...simd(V128.splat), ...set(splatted + i));
  code.push(INSTRUCTION.loop, 0x40);
  const loaded = Array.from({ length: arrays }, (_, i) => {
    const local = newVector();
    code.push(...get(position), ...simd(V128.load), ...address(i), ...set(local));
    return local;
  });
  const computed = new Map<Vector, number>();
  const localOf = (vector: Vector): number => {
    if (vector.kind === 'constant') return splatted + vector.index;
    if (vector.kind === 'array') return loaded[vector.index]!;
    const known = computed.get(vector);
    if (known !== undefined) return known;
    const operands = vector.operands.flatMap((operand) => get(localOf(operand)));
    const local = newVector();
    code.push(...operands, ...simd(vector.opcode), ...set(local));
    computed.set(vector, local);
    return local;
  };
  for (const [array, result] of results) {
    const local = localOf(result);
    code.push(...get(position), ...get(local), ...simd(V128.store), ...address(array));
  }
  code.push(...get(position), INSTRUCTION.i32Const, VECTOR_BYTES, I32.add, ...set(position));
  code.push(...get(position), ...get(0), I32.lessUnsigned, INSTRUCTION.brIf, 0);
  code.push(INSTRUCTION.end, INSTRUCTION.end);

  const locals = [
    [...unsigned(1), VALUE.i32],
    [...unsigned(vectors), VALUE.v128],
  ];
  return [...list(locals), ...code];
}

const get = (local: number): number[] => [INSTRUCTION.get, ...unsigned(local)];
const set = (local: number): number[] => [INSTRUCTION.set, ...unsigned(local)];
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const list = (items: readonly (readonly number[])[]): number[] => [
  ...unsigned(items.length),
  ...items.flat(),
];
const name = (text: string): number[] => list(Array.from(text, (letter) => [letter.charCodeAt(0)]));

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = list(items);
  return [id, ...unsigned(content.length), ...content];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
