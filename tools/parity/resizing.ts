/** @file Bilinear resizing as TensorFlow 1 has it: some rows of the results. */
import * as v from 'valibot';
import { concat, slice } from '../../src/engine/graph/operators.ts';
import { interpolate, TENSORFLOW_BILINEAR } from '../../src/networks/nn/interpolation.ts';
import { compareTensors } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { StatedTolerance } from './tolerance.ts';

const schema = v.object({
  doc: v.pipe(v.string(), v.startsWith('TF1 legacy bilinear resize')),
  tolerance: v.string(),
});

export const resizing: FixtureKind = {
  name: 'bilinear resize',
  recognise({ json, tensors, name }) {
    const parsed = v.safeParse(schema, json);
    const recorded = tensors.get('out.rows');
    if (!parsed.success || recorded === undefined) return undefined;
    const { doc, tolerance } = parsed.output;
    const rows = /rows \[([\d,]+)\]/.exec(doc)![1]!.split(',').map(Number);
    const side = recorded.shape[3]!;
    return async (backend) => {
      const resized = interpolate(inputsFrom(tensors, name)('x'), [side, side], TENSORFLOW_BILINEAR);
      const kept = concat(
        rows.map((row) => slice(resized, 2, row, row + 1)),
        2,
      );
      const values = await runGraph({ kept }, tensors, backend, new Map());
      const allowed = new StatedTolerance(tolerance).of();
      return { comparisons: [compareTensors('out.rows', values.get('kept'), recorded, allowed)] };
    };
  },
};
