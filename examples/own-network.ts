/**
 * @file A network of one's own, trained in a folder, continued there and sampled like those of this project: two
 * convolutions, which learn the colours of pictures.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/own-network.ts <folder> [run folder] [picture] [steps]
 */
import { createSampler, toPixels } from 'udit';
import * as g from 'udit/graph';
import * as nn from 'udit/nn';
import { cpuBackend, openModel, version, writeSheet } from 'udit/node';
import { planTraining, type RunObserver, resolveTrainConfig, trainInFolder } from 'udit/train';

class TwoConvolutions extends nn.Denoiser {
  readonly labelEmbedders = 1;
  readonly initRule = () => nn.normalWith(0.05);
  readonly stages = () => []; // what `udit inspect` lists
  readonly first = new nn.Conv2d(3, 16, 3);
  readonly last = new nn.Conv2d(16, 3, 3);
  readonly time = new nn.TimestepEmbedder(16);
  readonly label: nn.LabelEmbedder;
  constructor(readonly config: nn.DenoiserConfig) {
    super();
    this.label = new nn.LabelEmbedder(config.numClasses, 16, { hasNullLabel: false });
    this.bind();
  }
  forward(x: g.Tensor<'N C H W'>, { t, y }: nn.Condition) {
    const condition = g.reshape(g.add(this.time.apply(t), this.label.apply(y)), [x.shape[0]!, 1, 1, 16]);
    const hidden = g.silu(g.add(this.first.apply(g.transpose(x, [0, 2, 3, 1])), condition));
    return g.transpose(this.last.apply(hidden), [0, 3, 1, 2]);
  }
}

const preset = { inputSize: 8, inChannels: 3, numClasses: 2, learnSigma: false, classDropoutProb: 0 };
const build = (config: nn.DenoiserConfig) => new TwoConvolutions(config);
const options = nn.DENOISER_OPTIONS; // all that a configuration and a checkpoint say of it
const family = { role: 'denoiser', options, build, presets: { 'Two-convolutions': preset } } as const;
const families: nn.Families = { TwoConvolutions: family };

const [folder = 'photos', runPath = 'runs/own', picture = 'own.png', steps = '400'] = process.argv.slice(2);
const layer = {
  model: { preset: 'Two-convolutions' },
  data: { kind: 'folder', path: folder, imageSize: 8, heldOutFraction: 0 },
  training: { steps: Number(steps), batchSize: 8 },
  logging: { sampleEvery: null, ckptEvery: 100 },
};
const config = resolveTrainConfig([layer], { families });
const observer: RunObserver = {
  onCheckpoint: (step, path) => console.log(`step ${step}: ${path}`),
  onResume: (step) => console.log(`continuing at step ${step}`),
};
const plan = await planTraining(config, { observer, families });
const { checkpoint } = await trainInFolder(plan, { config, observer, runPath, threads: 1, version });

const saved = await openModel(checkpoint, { families });
const sampler = await createSampler(saved, { backend: cpuBackend, cfgScale: 1 });
const images = await sampler.generate({ labels: [0, 0, 1, 1], seed: 0 });
await sampler.release();
await writeSheet(picture, toPixels(images), { columns: 2, rowLabels: saved.card.classNames.slice(0, 2) });
