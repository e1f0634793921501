/** @file The optimizers there are: a file each, and an entry in each of these. */
import * as v from 'valibot';
import { ADAMW, ADAMW_DEFAULTS, adamWSchema } from './adamw.ts';
import { ElementwiseOptimizer } from './elementwise.ts';
import type { Optimizer } from './optimizer.ts';
import { SGD, SGD_DEFAULTS, sgdSchema } from './sgd.ts';

export const optimizerSchema = v.variant('kind', [adamWSchema, sgdSchema]);

export type OptimizerConfig = v.InferOutput<typeof optimizerSchema>;
export type OptimizerKind = OptimizerConfig['kind'];

/** What a configuration need not say of each; it wins over what a recipe says of another kind. */
export const OPTIMIZER_DEFAULTS: Readonly<Record<OptimizerKind, object>> = {
  adamw: ADAMW_DEFAULTS,
  sgd: SGD_DEFAULTS,
};

/** Names of the buffers that each keeps. */
export const OPTIMIZER_SLOTS: Readonly<Record<OptimizerKind, readonly string[]>> = {
  adamw: ADAMW.slots,
  sgd: SGD.slots,
};

/** @param averages - how many averages of the parameters it moves along */
export function createOptimizer(config: OptimizerConfig, averages: number): Optimizer {
  switch (config.kind) {
    case 'adamw':
      return new ElementwiseOptimizer(ADAMW, config, averages);
    case 'sgd':
      return new ElementwiseOptimizer(SGD, config, averages);
  }
}
