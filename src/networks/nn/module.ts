/**
 * @file Modules and parameters. A module is a tree whose field paths are the keys of its PyTorch checkpoint:
 * `encoder_level_1.0.attn1.to_qkv.weight`. It holds no numbers; values travel beside it as a `TensorMap`.
 */
import { type Shape, sizeOf } from '../../core/shape.ts';
import { parameter } from '../../engine/graph/operators.ts';
import { type Unlabelled, withScope } from '../../engine/graph/tensor.ts';

export interface ParameterOptions {
  /** Part of the checkpoint, but never updated. Default: false. */
  readonly frozen?: boolean;
  /** Frozen, at an initial value that follows from its shape: a checkpoint may lack it. Default: false. */
  readonly computed?: boolean;
}

/** The place of one trained (or frozen) tensor in a model. */
export class Parameter {
  readonly shape: Shape;
  readonly frozen: boolean;
  readonly computed: boolean;
  private leaf: Unlabelled | undefined;
  private path = '';

  constructor(shape: Shape, { computed = false, frozen = computed }: ParameterOptions = {}) {
    this.shape = shape;
    this.frozen = frozen;
    this.computed = computed;
  }

  /** Its checkpoint key, known once the whole model is built. */
  get name(): string {
    return this.path;
  }

  /** Its value in the graph; always the same node, so gradients can be asked for by it. */
  get tensor(): Unlabelled {
    this.leaf ??= parameter(this.path, this.shape);
    return this.leaf;
  }

  bind(path: string): void {
    this.path = path;
  }
}

/** How many numbers these parameters hold. */
export function countParameters(parameters: Iterable<Parameter>): number {
  let count = 0;
  for (const { shape } of parameters) count += sizeOf(shape);
  return count;
}

type Child = Parameter | Module;

/**
 * A part of a model. Subclasses declare parameters and modules as fields in the order of the data flow and define
 * `forward`; callers use {@link Module.apply}, which records the module path in the nodes it builds.
 */
export abstract class Module {
  private path = '';

  // biome-ignore lint/suspicious/noExplicitAny: each module has its own signature, which `apply` passes on
  abstract forward(...operands: any[]): unknown;

  apply<M extends Module>(this: M, ...operands: Parameters<M['forward']>): ReturnType<M['forward']> {
    return withScope(this.path, () => this.forward(...operands)) as ReturnType<M['forward']>;
  }

  /** Parameters and modules by key; arrays contribute their indices. */
  *children(): Iterable<readonly [key: string, child: Child]> {
    for (const [key, value] of Object.entries(this)) {
      const entries: readonly (readonly [string, unknown])[] = Array.isArray(value)
        ? value.map((item, index) => [`${key}.${index}`, item])
        : [[key, value]];
      for (const [childKey, child] of entries) {
        if (child instanceof Parameter || child instanceof Module) yield [childKey, child];
      }
    }
  }

  /** Names this module and everything below it; called once on the root. */
  bind(path = ''): this {
    this.path = path;
    for (const [key, child] of this.children()) child.bind(path === '' ? key : `${path}.${key}`);
    return this;
  }

  /** All parameters, in the order of PyTorch's `state_dict`: a module's own first, then its children's. */
  *parameters(): Iterable<Parameter> {
    const children = [...this.children()].map(([, child]) => child);
    for (const child of children) if (child instanceof Parameter) yield child;
    for (const child of children) if (child instanceof Module) yield* child.parameters();
  }
}
