/**
 * @file Trains a tiny U-DiT on a folder with a folder of pictures per class. The same call again continues the run.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/train-on-folder.ts <folder> [run folder] [steps]
 */
import { version } from 'udit/node';
import { planTraining, type RunObserver, resolveTrainConfig, trainInFolder } from 'udit/train';

const [folder = 'photos', runPath = 'runs/tiny', steps = '200'] = process.argv.slice(2);

// What is not said here comes from the recipe of the preset; `udit train --dry-run` prints all of it.
const config = resolveTrainConfig([
  {
    model: { preset: 'U-DiT-XS', width: 16, depth: [1, 1, 1, 1, 1] },
    data: { kind: 'folder', path: folder, imageSize: 16, heldOutFraction: 0 },
    training: { steps: Number(steps), batchSize: 8 },
    logging: { sampleEvery: null, ckptEvery: 100 },
  },
]);

const observer: RunObserver = {
  onResume: (step) => console.log(`continuing at step ${step}`),
  onStep: ({ step, loss, imagesPerSecond }) =>
    console.log(`step ${step}  loss ${loss.toFixed(4)}  ${imagesPerSecond.toFixed(1)} images/s`),
  onCheckpoint: (_, path) => console.log(`checkpoint ${path}`),
  onWarning: (message) => console.warn(message),
};

const plan = await planTraining(config, { observer });
console.log(`${plan.parameterCount} parameters, ${plan.data.training.length} pictures`);
await trainInFolder(plan, { config, observer, runPath, threads: 1, version });
console.log(`draw from it: npx udit sample ${runPath}`);
