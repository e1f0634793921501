/**
 * @file A network of one's own: two convolutions learn, as a flow, to draw red and blue pictures.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/own-network.ts [picture] [steps]
 */
import { createSampler, fold, normal, randomKey, tensorOf, toPixels } from 'udit';
import { flowObjective } from 'udit/diffusion';
import * as g from 'udit/graph';
import * as nn from 'udit/nn';
import { cpuBackend, writeSheet } from 'udit/node';

class TwoConvolutions extends nn.Denoiser {
  readonly config = { inputSize: 8, inChannels: 3, numClasses: 2, learnSigma: false, classDropoutProb: 0 };
  readonly labelEmbedders = 1;
  readonly initRule = () => nn.normalWith(0.05);
  readonly stages = () => []; // what `udit inspect` lists
  readonly first = new nn.Conv2d(3, 16, 3);
  readonly last = new nn.Conv2d(16, 3, 3);
  readonly time = new nn.TimestepEmbedder(16);
  readonly label = new nn.LabelEmbedder(2, 16, { hasNullLabel: false });
  forward(x: g.Tensor<'N C H W'>, { t, y }: nn.Condition) {
    const condition = g.reshape(g.add(this.time.apply(t), this.label.apply(y)), [x.shape[0]!, 1, 1, 16]);
    const hidden = g.silu(g.add(this.first.apply(g.transpose(x, [0, 2, 3, 1])), condition));
    return g.transpose(this.last.apply(hidden), [0, 3, 1, 2]);
  }
}

const [picture = 'own-network.png', steps = '800'] = process.argv.slice(2);
const [model, objective, shape] = [new TwoConvolutions(), flowObjective(), [2, 3, 8, 8]];
model.bind();
const colours = [1, -1, -1, -1, -1, 1].flatMap((value) => new Array<number>(64).fill(value));
const data = { x0: tensorOf('f32', shape, colours), y: tensorOf('i64', [2], [0, 1]) };

// One step of gradient descent as a graph: weights go in and come out.
const [x0, noise] = [g.input('x0', shape), g.input('noise', shape)];
const [t, y] = [g.input('t', [2]), g.input('y', [2], 'i64')];
const loss = g.mean(objective.buildLoss((x, time) => model.apply(x, { t: time, y }), x0, noise, t).perSample);
const leaves = [...model.parameters()].map(({ tensor }) => tensor);
const next = g
  .gradients(loss, leaves)
  .map((slope, i) => [`next ${i}`, g.sub(leaves[i]!, g.mul(0.05, slope))]);
const session = await g.compileTraining(g.graphOf({ loss, ...Object.fromEntries(next) }), cpuBackend);
let weights = nn.initialise(model, model.initRule, randomKey(0));
for (let step = 1; step <= Number(steps); step++) {
  const key = fold(randomKey(1), 'step', step);
  const chance = tensorOf('f32', shape, Array.from(normal(key, 384)));
  const feeds = { ...data, noise: chance, t: objective.sampleTimes(key, 2) };
  const results = await session.run(new Map([...weights, ...Object.entries(feeds)]));
  weights = new Map([...weights.keys()].map((name, i) => [name, results.get(`next ${i}`)!]));
  if (step % 100 === 0) console.log(`step ${step}  loss ${results.get('loss')!.data[0]}`);
}
await session.release();

const card = { objective: { kind: 'flow', timeScale: 1 } } as const;
const sampler = await createSampler({ network: model, weights, card }, { backend: cpuBackend, cfgScale: 1 });
const images = await sampler.generate({ labels: [0, 0, 1, 1], seed: 0 });
await sampler.release();
await writeSheet(picture, toPixels(images), { columns: 2, rowLabels: ['red', 'blue'] });
