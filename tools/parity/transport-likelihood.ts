/** @file The likelihood of data under SiT's ODE, with the recorded signs of every evaluation. */
import * as v from 'valibot';
import { type HostTensor, hostTensor, scalar } from '../../src/core/host-tensor.ts';
import { samplingInterval } from '../../src/diffusion/flow/flow.ts';
import { dataLikelihood, velocityAndDivergence } from '../../src/diffusion/flow/likelihood.ts';
import { flowObjective } from '../../src/diffusion/flow/objective.ts';
import { compileTraining } from '../../src/engine/compile/training.ts';
import { graphOf } from '../../src/engine/graph/graph.ts';
import { input } from '../../src/engine/graph/operators.ts';
import { compareNumbers } from './comparison.ts';
import { entryOf, type Fixture, requireTensor } from './fixture.ts';
import type { Check, FixtureKind } from './kind.ts';
import { StatedTolerance } from './tolerance.ts';
import { methodOf, pathSchema, predictionSchema, transportOptions } from './transport-reference.ts';
import { networkOf } from './transport-sampling.ts';

/** The case is told in words. */
const WORDS = /sample_ode_likelihood, (\w+)\/(\w+), (\w+), (\d+) points, toy network/;
const schema = v.object({ doc: v.pipe(v.string(), v.regex(WORDS)), tolerance: v.string() });

export const transportLikelihood: FixtureKind = {
  name: 'transport likelihood',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkLikelihood(fixture, parsed.output) : undefined;
  },
};

function checkLikelihood(fixture: Fixture, { doc, tolerance }: v.InferOutput<typeof schema>): Check {
  return async (backend) => {
    const recorded = (name: string) =>
      requireTensor(fixture.tensors, name, fixture.name) as HostTensor<'f32'>;
    const [, path, prediction, method, points] = WORDS.exec(doc)!;
    const objective = flowObjective(
      transportOptions(v.parse(pathSchema, path), v.parse(predictionSchema, prediction)),
    );
    const images = recorded('x');
    const network = await networkOf(fixture, {});
    const [x, time, probe] = [input('x', images.shape), input('time', []), input('probe', images.shape)];
    const graph = graphOf({ ...velocityAndDivergence(objective, network.denoise(1), x, time, probe) });
    const session = await compileTraining(graph, backend);
    let evaluations = 0;
    const found = await dataLikelihood(
      async ([values], at) => {
        const results = await session.run(
          new Map<string, HostTensor>([
            ['x', hostTensor('f32', images.shape, values!)],
            ['time', scalar('f32', at)],
            ['probe', entryOf(recorded('probes'), evaluations++)],
          ]),
        );
        return ['velocity', 'divergence'].map((name) => results.get(name)!.data as Float32Array);
      },
      images.data,
      images.shape[0]!,
      samplingInterval(objective.options),
      { method: methodOf(method!), steps: Number(points) - 1 },
    );
    await session.release();
    const stated = new StatedTolerance(tolerance).of();
    return {
      comparisons: [
        compareNumbers('logp', found.logLikelihood, recorded('logp').data, stated),
        // Elements that happen to be near 0 have no relative error to speak of.
        compareNumbers('z', found.noise, recorded('z').data, { ...stated, absolute: 1e-6 }),
      ],
    };
  };
}
