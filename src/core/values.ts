/** @file Kinds of values in a configuration. */
import * as v from 'valibot';

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const countOrOff = v.nullable(count);
export const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
export const positive = v.pipe(v.number(), v.gtValue(0));
