/** @file What a training consists of between two steps, in memory and in a checkpoint. */

import type { TensorMap } from '../../../core/host-tensor.ts';
import { fold, randomKey } from '../../../core/random.ts';
import { fitParameters } from '../../../formats/fit.ts';
import type { SafetensorsFile } from '../../../formats/safetensors.ts';
import { GROUP_PREFIX, tensorGroup } from '../../../models/saved-model.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { initialise } from '../../../networks/nn/initialise.ts';
import { createOptimizerState, type OptimizerState } from '../optim/adamw.ts';
import { ParameterLayout } from '../optim/parameter-buffers.ts';

type StateGroup = keyof typeof GROUP_PREFIX;

/** Which buffer each group of a checkpoint is. */
const BUFFER_OF = {
  model: 'parameters',
  ema: 'ema',
  expAvg: 'expAvg',
  expAvgSq: 'expAvgSq',
} as const satisfies Record<StateGroup, keyof OptimizerState>;

/**
 * Parameters, average and moments in flat buffers. Randomness and the position in the data are functions of seed and
 * step, so they need no place here.
 */
export class TrainState {
  readonly layout: ParameterLayout;
  readonly buffers: OptimizerState;
  /** Values of frozen parameters by name; they are part of every set of weights. */
  private readonly frozen: TensorMap;

  private constructor(layout: ParameterLayout, buffers: OptimizerState, frozen: TensorMap) {
    this.layout = layout;
    this.buffers = buffers;
    this.frozen = frozen;
  }

  /** The model as its family initialises it. */
  static initial(model: Denoiser, seed: number): TrainState {
    const values = initialise(model, model.initRule, fold(randomKey(seed), 'initialise'));
    const parameters = [...model.parameters()];
    const layout = new ParameterLayout(parameters.filter(({ frozen }) => !frozen));
    const buffer = new Float32Array(layout.size);
    layout.fill(buffer, values);
    const frozen = parameters
      .filter((parameter) => parameter.frozen)
      .map(({ name }) => [name, values.get(name)!] as const);
    return new TrainState(layout, createOptimizerState(buffer), new Map(frozen));
  }

  /** The weights under training, or their average; trained tensors share memory with the state. */
  weights(set: 'model' | 'ema'): TensorMap {
    return new Map([...this.layout.views(this.buffers[BUFFER_OF[set]]), ...this.frozen]);
  }

  /** All tensors of a checkpoint; they share memory with the state. */
  tensors(): TensorMap {
    const groups = (Object.keys(GROUP_PREFIX) as StateGroup[]).flatMap((group) => {
      const views = [...this.layout.views(this.buffers[BUFFER_OF[group]])];
      const isWeights = group === 'model' || group === 'ema';
      const tensors = isWeights ? [...views, ...this.frozen] : views;
      return tensors.map(([name, tensor]) => [GROUP_PREFIX[group] + name, tensor] as const);
    });
    return new Map(groups);
  }

  /**
   * Takes over the tensors of a checkpoint.
   *
   * @throws CheckpointError if they do not fit the model, before anything is changed
   */
  restore(file: SafetensorsFile, where: string, model: Denoiser): void {
    const all = [...model.parameters()];
    const trained = all.filter(({ frozen }) => !frozen);
    const groups = (Object.keys(GROUP_PREFIX) as StateGroup[]).map((group) => {
      const tensors = tensorGroup(file.tensors, GROUP_PREFIX[group]);
      const expected = group === 'model' || group === 'ema' ? all : trained;
      fitParameters(expected, tensors, { where: `${where} (${group})`, model: 'the model of this run' });
      return { group, tensors };
    });
    for (const { group, tensors } of groups) this.layout.fill(this.buffers[BUFFER_OF[group]], tensors);
  }

  /** Begins with these weights, as parameters and as average; what is not among them keeps its initial values. */
  startFrom(weights: TensorMap): void {
    const { parameters, ema } = this.buffers;
    this.layout.fill(parameters, new Map([...this.layout.views(parameters), ...weights]));
    ema.set(parameters);
  }
}
