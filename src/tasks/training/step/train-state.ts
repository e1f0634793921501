/** @file What a training consists of between two steps, in memory and in a checkpoint. */

import type { HostTensor, TensorMap } from '../../../core/host-tensor.ts';
import { fold, randomKey } from '../../../core/random.ts';
import type { TensorSource } from '../../../core/tensor-source.ts';
import { fitParameters } from '../../../formats/fit.ts';
import { slotPrefix, tensorGroup, type WeightSet, weightsPrefix } from '../../../models/saved-model.ts';
import { preferredSet } from '../../../models/weight-sets.ts';
import { initialValues } from '../../../networks/nn/initialise.ts';
import type { Parameter } from '../../../networks/nn/module.ts';
import type { Network } from '../../../networks/nn/network.ts';
import type { TrainConfig } from '../config/train-config.ts';
import type { OptimizerState } from '../optim/optimizer.ts';
import { OPTIMIZER_SLOTS } from '../optim/optimizers.ts';
import { ParameterLayout } from '../optim/parameter-buffers.ts';

type StateConfig = Pick<TrainConfig, 'optimizer' | 'averages'>;

/** A flat buffer and its tensors' prefix in a checkpoint. Frozen parameters are part of every set of weights. */
interface Group {
  readonly prefix: string;
  readonly buffer: Float32Array;
  readonly isWeights: boolean;
}

/**
 * Parameters, averages and the optimizer's buffers, all flat. Randomness and the position in the data are functions of
 * seed and step, so they need no place here.
 */
export class TrainState {
  readonly layout: ParameterLayout;
  readonly buffers: OptimizerState;
  /** Values of frozen parameters by name. */
  private readonly frozen: TensorMap;

  private constructor(layout: ParameterLayout, buffers: OptimizerState, frozen: TensorMap) {
    this.layout = layout;
    this.buffers = buffers;
    this.frozen = frozen;
  }

  /** The model as its family initialises it. */
  static initial(model: Network, seed: number, config: StateConfig): TrainState {
    const { layout, buffers } = zeros(model, config);
    const frozen = drawInto(buffers, model.parameters(), model, seed);
    return new TrainState(layout, buffers, frozen);
  }

  /**
   * Begins with these weights, as parameters and as averages; the model's other parameters are initialised.
   *
   * @param taken - names of parameters that `weights` has in the right shapes
   */
  static async startingFrom(
    weights: TensorSource,
    taken: readonly string[],
    model: Network,
    seed: number,
    config: StateConfig,
  ): Promise<TrainState> {
    const { layout, buffers } = zeros(model, config);
    const given = new Set(taken);
    const others = [...model.parameters()].filter(({ name }) => !given.has(name));
    const frozen = new Map(drawInto(buffers, others, model, seed));
    const trained = new Set(layout.names);
    for (const name of taken) {
      const value = await weights.read(name);
      if (trained.has(name)) layout.put(buffers.parameters, name, value);
      else frozen.set(name, value);
    }
    for (const average of buffers.averages.values()) average.set(buffers.parameters);
    return new TrainState(layout, buffers, frozen);
  }

  /**
   * The state that a checkpoint holds, read tensor by tensor; nothing is initialised.
   *
   * @throws CheckpointError if the tensors do not fit the model, before any of them is read
   */
  static async restored(
    file: TensorSource,
    where: string,
    model: Network,
    config: StateConfig,
  ): Promise<TrainState> {
    const { layout, buffers } = zeros(model, config);
    const all = [...model.parameters()];
    const trained = all.filter(({ frozen }) => !frozen);
    for (const { prefix, isWeights } of groupsOf(buffers)) {
      const context = { where: `${where} (${prefix.slice(0, -1)})`, model: 'the model of this run' };
      fitParameters(isWeights ? all : trained, tensorGroup(file.infos, prefix), context);
    }
    for (const { prefix, buffer } of groupsOf(buffers)) {
      for (const name of layout.names) layout.put(buffer, name, await file.read(prefix + name));
    }
    const frozen = new Map<string, HostTensor>();
    for (const parameter of all) {
      const { name } = parameter;
      if (parameter.frozen) frozen.set(name, await file.read(weightsPrefix('model') + name));
    }
    return new TrainState(layout, buffers, frozen);
  }

  /** The weights under training (`model`), or an average of them; trained tensors share memory with the state. */
  weights(set: WeightSet): TensorMap {
    const buffer = set === 'model' ? this.buffers.parameters : this.buffers.averages.get(set)!;
    return new Map([...this.layout.views(buffer), ...this.frozen]);
  }

  /** The weights that are measured and drawn: an average where there is one. */
  preferredWeights(): TensorMap {
    return this.weights(preferredSet(['model', ...this.buffers.averages.keys()]));
  }

  /** All tensors of a checkpoint; they share memory with the state. */
  tensors(): TensorMap {
    const groups = groupsOf(this.buffers).flatMap(({ prefix, buffer, isWeights }) => {
      const views = [...this.layout.views(buffer)];
      const tensors = isWeights ? [...views, ...this.frozen] : views;
      return tensors.map(([name, tensor]) => [prefix + name, tensor] as const);
    });
    return new Map(groups);
  }
}

function zeros(
  model: Network,
  { optimizer, averages }: StateConfig,
): { readonly layout: ParameterLayout; readonly buffers: OptimizerState } {
  const layout = new ParameterLayout([...model.parameters()].filter(({ frozen }) => !frozen));
  const buffer = () => new Float32Array(layout.size);
  const named = (names: readonly string[]) => new Map(names.map((name) => [name, buffer()]));
  return {
    layout,
    buffers: {
      layout,
      parameters: buffer(),
      gradients: buffer(),
      slots: named(OPTIMIZER_SLOTS[optimizer.kind]),
      averages: named(averages.map(({ name }) => name)),
    },
  };
}

/** Draws initial values of some parameters, as their averages too, and gives those of frozen ones. */
function drawInto(
  { layout, parameters, averages }: OptimizerState,
  some: Iterable<Parameter>,
  { initRule }: Network,
  seed: number,
): TensorMap {
  const drawn = [...some];
  const isFrozen = new Set(drawn.filter(({ frozen }) => frozen).map(({ name }) => name));
  const frozen = new Map<string, HostTensor>();
  for (const [name, value] of initialValues(drawn, initRule, fold(randomKey(seed), 'initialise'))) {
    if (isFrozen.has(name)) frozen.set(name, value);
    else layout.put(parameters, name, value);
  }
  for (const average of averages.values()) average.set(parameters);
  return frozen;
}

function groupsOf({ parameters, averages, slots }: OptimizerState): Group[] {
  return [
    { prefix: weightsPrefix('model'), buffer: parameters, isWeights: true },
    ...Array.from(averages, ([name, buffer]) => ({ prefix: weightsPrefix(name), buffer, isWeights: true })),
    ...Array.from(slots, ([name, buffer]) => ({ prefix: slotPrefix(name), buffer, isWeights: false })),
  ];
}
