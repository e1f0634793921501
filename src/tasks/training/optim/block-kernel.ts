/** @file Runs a loop of WebAssembly over arrays of any length, block by block through its small memory. */
import { encodeSimdLoop, type Vector } from './simd-loop.ts';

export interface KernelDefinition<Arrays extends string, Constants extends string> {
  readonly arrays: readonly Arrays[];
  readonly constants: readonly Constants[];
  /** New values of an element of some arrays, from the old values of all. */
  readonly formulas: (
    arrays: Readonly<Record<Arrays, Vector>>,
    constants: Readonly<Record<Constants, Vector>>,
  ) => Readonly<Partial<Record<Arrays, Vector>>>;
}

/** Elements per array and block: five arrays are 160 KB, which stay in a core's second-level cache. */
export const BLOCK_LENGTH = 8192;

/** A compiled kernel. It works in float32; every element is computed alike, wherever it lies in a block. */
export class BlockKernel<Arrays extends string, Constants extends string> {
  private readonly definition: KernelDefinition<Arrays, Constants>;
  private readonly written: ReadonlySet<Arrays>;
  private readonly blocks: ReadonlyMap<Arrays, Float32Array>;
  private readonly runBlock: (bytes: number, ...constants: number[]) => void;

  private constructor(
    definition: KernelDefinition<Arrays, Constants>,
    written: ReadonlySet<Arrays>,
    { exports }: WebAssembly.Instance,
  ) {
    const { buffer } = exports.memory as WebAssembly.Memory;
    const blockBytes = BLOCK_LENGTH * Float32Array.BYTES_PER_ELEMENT;
    this.definition = definition;
    this.written = written;
    this.blocks = new Map(
      definition.arrays.map((name, i) => [name, new Float32Array(buffer, i * blockBytes, BLOCK_LENGTH)]),
    );
    this.runBlock = exports.run as BlockKernel<Arrays, Constants>['runBlock'];
  }

  /** Null where WebAssembly has no SIMD. */
  static compile<Arrays extends string, Constants extends string>(
    definition: KernelDefinition<Arrays, Constants>,
  ): BlockKernel<Arrays, Constants> | null {
    const { arrays, constants, formulas } = definition;
    const results = formulas(leaves('array', arrays), leaves('constant', constants));
    const written = arrays.filter((name) => results[name] !== undefined);
    const bytes = encodeSimdLoop({
      arrays: arrays.length,
      arrayLength: BLOCK_LENGTH,
      constants: constants.length,
      results: new Map(written.map((name) => [arrays.indexOf(name), results[name]!])),
    });
    if (!WebAssembly.validate(bytes)) return null;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    return new BlockKernel(definition, new Set(written), instance);
  }

  /** Updates arrays of equal length in place. Constants are rounded to float32. */
  run(arrays: Readonly<Record<Arrays, Float32Array>>, constants: Readonly<Record<Constants, number>>): void {
    const values = this.definition.constants.map((name) => constants[name]);
    const { length } = arrays[this.definition.arrays[0]!];
    for (let start = 0; start < length; start += BLOCK_LENGTH) {
      const end = Math.min(start + BLOCK_LENGTH, length);
      for (const [name, block] of this.blocks) block.set(arrays[name].subarray(start, end));
      // Up to three elements behind a last, odd one hold what an earlier block left, and are not copied back.
      this.runBlock((end - start) * Float32Array.BYTES_PER_ELEMENT, ...values);
      for (const name of this.written)
        arrays[name].set(this.blocks.get(name)!.subarray(0, end - start), start);
    }
  }
}

function leaves<Name extends string>(
  kind: 'array' | 'constant',
  names: readonly Name[],
): Record<Name, Vector> {
  return Object.fromEntries(names.map((name, index) => [name, { kind, index }])) as Record<Name, Vector>;
}
