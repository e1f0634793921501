import { expect, test } from 'vitest';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { graphOf } from '../graph/graph.ts';
import { erf, exp, input, mul, neg, tanh } from '../graph/operators.ts';
import { withScope } from '../graph/tensor.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import type { Backend } from '../runtime/session.ts';
import { compileInference } from './inference.ts';
import { compileTraining } from './training.ts';

/** A device without some operators, which refuses a model as ONNX Runtime does. */
function without(...operators: readonly string[]): Backend {
  const { optimise, ...backend } = cpuBackend;
  return {
    ...backend,
    async createSession(model, options) {
      const text = 'bytes' in model ? Buffer.from(model.bytes).toString('latin1') : '';
      if (!operators.some((operator) => text.includes(operator)))
        return backend.createSession(model, options);
      throw new RuntimeUnavailableError({
        where: 'runtime test',
        problem:
          'the model could not be loaded: This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.',
      });
    },
  };
}

const x = input('x', [2, 3]);
const hidden = withScope('encoder.0', () => erf(mul(x, 2)));
const graph = graphOf({ y: tanh(exp(hidden)), z: erf(neg(x)) });

test('operations without a kernel are named once each, with the place of the first', async () => {
  await expect(compileTraining(graph, without('Erf', 'Tanh'))).rejects.toThrowErrorMatchingInlineSnapshot(`
    [RuntimeUnavailableError: RuntimeUnavailableError: runtime cpu: it has no kernels for 2 of the operations in this graph
      erf   f32[2,3] of f32[2,3], as in encoder.0
      tanh  f32[2,3] of f32[2,3]
      fix: run it on the CPU]
  `);
});

test('so they are at inference', async () => {
  await expect(
    compileInference(graph, new Map(), without('Exp')),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [RuntimeUnavailableError: RuntimeUnavailableError: runtime cpu: it has no kernels for 1 of the operations in this graph
      exp  f32[2,3] of f32[2,3]
      fix: run it on the CPU]
  `);
});

test('another failure is reported as it is', async () => {
  const broken: Backend = {
    ...cpuBackend,
    createSession: async () => {
      throw new RuntimeUnavailableError({ where: 'runtime test', problem: 'the driver is gone' });
    },
  };
  await expect(compileTraining(graph, broken)).rejects.toThrow('runtime test: the driver is gone');
});
