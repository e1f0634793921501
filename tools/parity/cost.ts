/** @file Parameters and multiply-accumulates of whole models, by name: no weights are needed. */
import * as v from 'valibot';
import { macsOf, sumMacs, totalMacs } from '../../src/engine/graph/macs.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { countParameters } from '../../src/networks/nn/module.ts';
import type { TraceOptions } from '../../src/networks/nn/network.ts';
import { createModel } from '../../src/networks/registry.ts';
import { traceNetwork } from '../../src/networks/trace.ts';
import { type Comparison, compareExactly } from './comparison.ts';
import type { FixtureKind } from './kind.ts';
import { presetOfReference } from './reference-config.ts';

const splitSchema = v.object({ linear: v.number(), conv: v.number(), matmul: v.number() });
const costSchema = v.object({
  params: v.number(),
  trainable: v.number(),
  state_dict_tensors: v.number(),
  macs: v.number(),
  macs_split: splitSchema,
  macs_train_unmerged: v.optional(v.number()),
  macs_train_unmerged_split: v.optional(splitSchema),
});
const schema = v.object({ models: v.record(v.string(), costSchema) });
type Cost = v.InferOutput<typeof costSchema>;

export const cost: FixtureKind = {
  name: 'parameters and MACs',
  recognise({ json }) {
    const parsed = v.safeParse(schema, json);
    if (!parsed.success) return undefined;
    const models = Object.entries(parsed.output.models);
    return async () => ({
      comparisons: models.flatMap(([name, recorded]) => {
        const spec = presetOfReference(name);
        return spec === undefined ? [] : compareCost(name, createModel(spec), recorded);
      }),
      notCompared: models.map(([name]) => name).filter((name) => presetOfReference(name) === undefined),
    });
  },
};

function compareCost(name: string, model: Denoiser, recorded: Cost): Comparison[] {
  const parameters = [...model.parameters()];
  const compare = (quantity: string, actual: unknown, expected: unknown) =>
    compareExactly(`${name} ${quantity}`, actual, expected);
  const comparisons = [
    compare('params', countParameters(parameters), recorded.params),
    compare('trainable', countParameters(parameters.filter(({ frozen }) => !frozen)), recorded.trainable),
    compare('state_dict_tensors', parameters.length, recorded.state_dict_tensors),
    compare('macs', macsIn('merged', model), { total: recorded.macs, ...recorded.macs_split }),
  ];
  const { macs_train_unmerged: total, macs_train_unmerged_split: split } = recorded;
  if (total !== undefined) {
    comparisons.push(compare('macs_train_unmerged', macsIn('branches', model), { total, ...split }));
  }
  return comparisons;
}

/** With the words of the reference. */
function macsIn(form: TraceOptions['form'], model: Denoiser) {
  const counts = sumMacs(macsOf([traceNetwork(model, { form }).outputs.prediction]));
  const { attention: matmul, linear, convolution: conv } = counts;
  return { total: totalMacs(counts), linear, conv, matmul };
}
