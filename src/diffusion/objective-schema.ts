/** @file The options of objectives and their kinds: what configurations may set, and what checkpoints say of theirs. */
import * as v from 'valibot';
import { count, positive } from '../core/values.ts';

/** From an end of a path. */
const distance = v.pipe(v.number(), v.minValue(0), v.ltValue(0.5));

/** Of an `ObjectiveSpec`. */
export const objectiveSchema = v.variant('kind', [
  v.strictObject({
    kind: v.literal('gaussian'),
    steps: v.exactOptional(count),
    schedule: v.exactOptional(v.picklist(['linear', 'cosine'])),
    respacing: v.exactOptional(v.string()),
    prediction: v.exactOptional(v.picklist(['epsilon', 'x0'])),
    variance: v.exactOptional(v.picklist(['learned-range', 'fixed-small', 'fixed-large'])),
    loss: v.exactOptional(v.picklist(['mse', 'rescaled-mse', 'kl', 'rescaled-kl'])),
  }),
  v.strictObject({
    kind: v.literal('flow'),
    path: v.exactOptional(v.picklist(['linear', 'gvp', 'vp'])),
    prediction: v.exactOptional(v.picklist(['velocity', 'noise', 'score'])),
    lossWeight: v.exactOptional(v.picklist(['none', 'velocity', 'likelihood'])),
    timeDistribution: v.exactOptional(v.picklist(['uniform', 'logit-normal'])),
    logitMean: v.exactOptional(v.number()),
    logitStd: v.exactOptional(positive),
    timeScale: v.exactOptional(positive),
    trainEps: v.exactOptional(distance),
    sampleEps: v.exactOptional(distance),
  }),
]);
