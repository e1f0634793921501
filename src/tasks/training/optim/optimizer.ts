/**
 * @file What an optimizer is to a training: it turns gradients into new parameters, and moves their averages on the way.
 * All state lies in flat buffers; the layout says which part of them is which parameter, of which shape.
 */
import * as v from 'valibot';
import { positive } from '../../../core/values.ts';
import type { ParameterLayout } from './parameter-buffers.ts';

/** Flat buffers of equal length. */
export interface OptimizerState {
  /** Name, shape and place of each parameter, for optimizers that treat matrices and vectors differently. */
  readonly layout: ParameterLayout;
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  /** What the optimizer keeps from step to step, by {@link Optimizer.slots}. */
  readonly slots: ReadonlyMap<string, Float32Array>;
  /** Averages of the parameters, by name. */
  readonly averages: ReadonlyMap<string, Float32Array>;
}

export interface OptimizerUpdate {
  /** Number of the update; the first is 1. */
  readonly step: number;
  readonly learningRate: number;
  /** Gradients are multiplied by this first (clipping). */
  readonly gradientScale: number;
  /** Share of each average that stays, in the order of the state's averages. */
  readonly averageDecays: readonly number[];
}

export interface Optimizer {
  /** Names of its buffers, as in checkpoints behind `optimizer.`; they begin as zeros. */
  readonly slots: readonly string[];
  /** Makes an update in place; gradients stay as they are. */
  update(state: OptimizerState, update: OptimizerUpdate): void;
}

/** Settings of every optimizer. */
export const COMMON_SETTINGS = {
  learningRate: positive,
  schedule: v.picklist(['constant', 'cosine']),
  warmupSteps: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  weightDecay: v.pipe(v.number(), v.minValue(0)),
  /** Largest L2 norm of the gradient; null does not clip. */
  clipNorm: v.nullable(positive),
};
