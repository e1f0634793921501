/** @file Averages of the parameters over the course of a training: a kind is a file, and an entry in each of these. */
import * as v from 'valibot';
import { exponentialDecayAt, exponentialSchema } from './exponential-average.ts';
import { powerDecayAt, powerSchema } from './power-average.ts';

const averageSchema = v.variant('kind', [exponentialSchema, powerSchema]);

export const averagesSchema = v.array(averageSchema);

export type AverageConfig = v.InferOutput<typeof averageSchema>;

/** Share of the average that stays at update number `step`; the first is 1. */
export function averageDecayAt(step: number, average: AverageConfig): number {
  switch (average.kind) {
    case 'exponential':
      return exponentialDecayAt(step, average);
    case 'power':
      return powerDecayAt(step, average);
  }
}
