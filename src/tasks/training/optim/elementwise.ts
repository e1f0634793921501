/**
 * @file Optimizers whose update of a parameter depends on its own gradient and buffers alone. Parameters, buffers and
 * averages are updated in one pass over memory, by a loop of WebAssembly SIMD.
 */
import { BlockKernel } from './block-kernel.ts';
import type { Optimizer, OptimizerState, OptimizerUpdate } from './optimizer.ts';
import { add, mul, sub, type Vector } from './simd-loop.ts';

/** An update of one element, written twice: as formulas of float32 vectors, and in float64. */
export interface ElementwiseRule<Settings, Slot extends string, Constant extends string> {
  readonly slots: readonly Slot[];
  /** What the formulas need beside an element, of one update. */
  readonly constants: (settings: Settings, update: OptimizerUpdate) => Readonly<Record<Constant, number>>;
  readonly constantNames: readonly Constant[];
  readonly formulas: (
    old: { readonly parameter: Vector; readonly gradient: Vector } & Readonly<Record<Slot, Vector>>,
    constants: Readonly<Record<Constant, Vector>>,
  ) => { readonly parameter: Vector } & Readonly<Record<Slot, Vector>>;
  /** Updates the buffers at `index` and gives the new parameter. */
  readonly reference: (
    settings: Settings,
    update: OptimizerUpdate,
    slots: Readonly<Record<Slot, Float32Array>>,
  ) => (parameter: number, gradient: number, index: number) => number;
}

/**
 * Arithmetic is float32, as PyTorch's, where WebAssembly has SIMD, and {@link updateByReference}'s elsewhere; each gives
 * the same bits on every machine.
 */
export class ElementwiseOptimizer<Settings, Slot extends string, Constant extends string>
  implements Optimizer
{
  readonly slots: readonly Slot[];
  private readonly rule: ElementwiseRule<Settings, Slot, Constant>;
  private readonly settings: Settings;
  /** Null where there is no SIMD. */
  private readonly kernel: BlockKernel<string, string> | null;

  /** @param averages - how many averages of the parameters are moved along */
  constructor(rule: ElementwiseRule<Settings, Slot, Constant>, settings: Settings, averages: number) {
    this.rule = rule;
    this.settings = settings;
    this.slots = rule.slots;
    this.kernel = compileKernel(rule, averages);
  }

  update(state: OptimizerState, update: OptimizerUpdate): void {
    if (this.kernel === null) {
      updateByReference(this.rule, this.settings, state, update);
      return;
    }
    const { parameters, gradients, slots, averages } = state;
    const averageBuffers = [...averages.values()].map((buffer, i) => [averageSlot(i), buffer] as const);
    const shares = update.averageDecays.map((decay, i) => [averageSlot(i), 1 - decay] as const);
    this.kernel.run(
      { parameters, gradients, ...Object.fromEntries([...slots, ...averageBuffers]) },
      {
        gradientScale: update.gradientScale,
        ...this.rule.constants(this.settings, update),
        ...Object.fromEntries(shares),
      },
    );
  }
}

function compileKernel<Settings, Slot extends string, Constant extends string>(
  { slots, constantNames, formulas }: ElementwiseRule<Settings, Slot, Constant>,
  averages: number,
): BlockKernel<string, string> | null {
  const averageSlots = Array.from({ length: averages }, (_, i) => averageSlot(i));
  return BlockKernel.compile<string, string>({
    arrays: ['parameters', 'gradients', ...slots, ...averageSlots],
    constants: ['gradientScale', ...constantNames, ...averageSlots],
    // Results are the old values and small changes, so that all constants are small numbers with seven digits: of a
    // β₂ rounded to 0.99900001, 1 − β₂ would have five. A change below half a unit in the old value's last place is
    // lost, as it is in the reference and in PyTorch.
    formulas: (old, constants) => {
      const gradient = mul(old.gradients!, constants.gradientScale!);
      const { parameter, ...kept } = formulas(
        { ...(old as Record<Slot, Vector>), parameter: old.parameters!, gradient },
        constants as Record<Constant, Vector>,
      );
      const moved = averageSlots.map(
        (name) => [name, add(old[name]!, mul(constants[name]!, sub(parameter, old[name]!)))] as const,
      );
      return { parameters: parameter, ...kept, ...Object.fromEntries(moved) };
    },
  });
}

/** The update in float64, rounded once per stored value: for systems without SIMD, and what tests compare with. */
export function updateByReference<Settings, Slot extends string, Constant extends string>(
  rule: ElementwiseRule<Settings, Slot, Constant>,
  settings: Settings,
  { parameters, gradients, slots, averages }: OptimizerState,
  update: OptimizerUpdate,
): void {
  const { gradientScale, averageDecays } = update;
  const buffers = Object.fromEntries(slots) as Record<Slot, Float32Array>;
  const next = rule.reference(settings, update, buffers);
  for (let i = 0; i < parameters.length; i++) {
    const p = next(parameters[i]!, gradients[i]! * gradientScale, i);
    parameters[i] = p;
    let k = 0;
    for (const average of averages.values()) {
      const decay = averageDecays[k++]!;
      average[i] = decay * average[i]! + (1 - decay) * p;
    }
  }
}

function averageSlot(index: number): string {
  return `average ${index}`;
}
