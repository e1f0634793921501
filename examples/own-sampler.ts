/**
 * @file A sampler of one's own: Ralston's method, of second order, on the velocity of a flow.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/own-sampler.ts [checkpoint] [picture] [steps]
 */
import { fold, type HostTensor, normal, randomKey, tensorOf, toPixels } from 'udit';
import { compileInference, graphOf } from 'udit/graph';
import { imageShapeOf, traceNetwork } from 'udit/nn';
import { bundledModel, cpuBackend, openModel, writeSheet } from 'udit/node';

const [checkpoint = bundledModel, picture = 'ralston.png', steps = '12'] = process.argv.slice(2);

const { network, weights, card } = await openModel(checkpoint);
if (card.objective.kind !== 'flow') throw new Error('Ralston’s method needs a flow');
const { timeScale = 1 } = card.objective;
const labels = card.classNames.map((_, label) => label);
const shape = [labels.length, ...imageShapeOf(network.config)];

// One session is one evaluation of the network; the loop around it is TypeScript.
const { outputs } = traceNetwork(network, { batch: labels.length });
const session = await compileInference(graphOf(outputs), weights, cpuBackend);

async function velocity(x: Float32Array, time: number): Promise<Float32Array> {
  const feeds = new Map<string, HostTensor>([
    ['x', { dtype: 'f32', shape, data: x }],
    [
      't',
      tensorOf(
        'f32',
        [labels.length],
        labels.map(() => time * timeScale),
      ),
    ],
    ['y', tensorOf('i64', [labels.length], labels)],
  ]);
  return (await session.run(feeds)).get('prediction')!.data as Float32Array;
}

const perImage = shape.slice(1).reduce((product, side) => product * side, 1);
let x = new Float32Array(labels.length * perImage);
for (const label of labels) x.set(normal(fold(randomKey(0), 'image', label), perImage), label * perImage);

const duration = 1 / Number(steps);
for (let step = 0; step < Number(steps); step++) {
  const time = step * duration;
  const first = await velocity(x, time);
  const probe = x.map((value, i) => value + (2 / 3) * duration * first[i]!);
  const second = await velocity(probe, time + (2 / 3) * duration);
  x = x.map((value, i) => value + duration * (first[i]! / 4 + (3 / 4) * second[i]!));
}
await session.release();

const images: HostTensor<'f32'> = { dtype: 'f32', shape, data: x };
await writeSheet(picture, toPixels(images), { columns: 1, rowLabels: card.classNames });
console.log(`${2 * Number(steps)} evaluations of the network: see ${picture}`);
