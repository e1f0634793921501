/** @file DINOv2 with formula weights, on normalised pictures of several sizes. */
import * as v from 'valibot';
import type { Shape } from '../../src/core/shape.ts';
import { DINOV2_PRESETS, DINOv2 } from '../../src/networks/features/dinov2.ts';
import { compareExactly, compareTensors } from './comparison.ts';
import { formulaTensor, spreadOverInputs } from './formula.ts';
import type { FixtureKind } from './kind.ts';
import { inputsFrom, runGraph } from './run-graph.ts';

const schema = v.object({
  kind: v.literal('dinov2'),
  network: v.object({ arch: v.literal('vit_small'), patchSize: v.literal(14), imageSize: v.literal(518) }),
  keys: v.record(v.string(), v.array(v.number())),
  tolerance: v.object({ relative_l2: v.number() }),
});

export const dinov2: FixtureKind = {
  name: 'DINOv2 features',
  recognise({ json, tensors, name: where }) {
    const parsed = v.safeParse(schema, json);
    if (!parsed.success) return undefined;
    const { keys, tolerance } = parsed.output;
    return async (backend) => {
      const network = new DINOv2(DINOV2_PRESETS['DINOv2-S/14']!);
      const weights = new Map(
        Object.entries(keys).map(([name, shape], position) => [name, formulaWeight(name, shape, position)]),
      );
      const { classToken, patchTokens } = network.tokensOf(inputsFrom(tensors, where)('x'));
      const values = await runGraph({ cls: classToken, patches: patchTokens }, tensors, backend, weights);
      const allowed = { relL2: tolerance.relative_l2 };
      const names = [...network.parameters()].map(({ name, shape }) => [name, shape] as const);
      const { mask_token: _, ...recorded } = keys;
      return {
        comparisons: [
          compareExactly('keys', Object.fromEntries(names), recorded),
          ...['cls', 'patches'].map((name) =>
            compareTensors(name, values.get(name), tensors.get(name)!, allowed),
          ),
        ],
        notCompared: ['mask_token: hides patches in training only'],
      };
    };
  },
};

function formulaWeight(name: string, shape: Shape, position: number) {
  if (shape.length > 1 && !/cls_token|pos_embed|mask_token/.test(name)) {
    return formulaTensor(position, spreadOverInputs(shape, 12), shape);
  }
  const isGain = /gamma$|norm\d?\.weight$/.test(name);
  return isGain ? formulaTensor(position, 0.5, shape, 1) : formulaTensor(position, 0.2, shape);
}
