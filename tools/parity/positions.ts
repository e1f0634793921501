/** @file Sine-cosine positions: tensors `pos_<width>_<side>`. */
import * as v from 'valibot';
import { tensorOf } from '../../src/core/host-tensor.ts';
import { squareOf } from '../../src/core/image-size.ts';
import { sinCosPositions } from '../../src/networks/nn/position.ts';
import { compareTensors } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { README_TOLERANCES, StatedTolerance } from './tolerance.ts';

const schema = v.object({ tolerance: v.optional(v.string(), README_TOLERANCES.positions) });
const NAME = /^pos_(\d+)_(\d+)$/;

export const positions: FixtureKind = {
  name: 'positions',
  recognise({ json, tensors }) {
    const parsed = v.safeParse(schema, json);
    const names = [...tensors.keys()];
    if (!parsed.success || names.length === 0 || !names.every((name) => NAME.test(name))) return undefined;
    const tolerance = new StatedTolerance(parsed.output.tolerance).of();
    return async () => ({
      comparisons: [...tensors].map(([name, expected]) => {
        const [width, side] = NAME.exec(name)!.slice(1).map(Number) as [number, number];
        const computed = tensorOf('f32', [side * side, width], sinCosPositions(squareOf(side), width));
        return compareTensors(name, computed, expected, tolerance);
      }),
    });
  },
};
