/**
 * @file Draws a sheet of pictures from a checkpoint, one row per class.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/sample.ts [checkpoint] [picture]
 */
import { createSampler, toPixels } from 'udit';
import { bundledModel, cpuBackend, openModel, writeSheet } from 'udit/node';

const [checkpoint = bundledModel, picture = 'samples.png'] = process.argv.slice(2);
const COLUMNS = 6;

const saved = await openModel(checkpoint);
const { name, step, classNames } = saved.card;
console.log(`${name} after ${step} steps, ${classNames.length} classes, ${saved.source} weights`);

// Network, guidance and sampler update become one session per worker; more workers draw the same pictures sooner.
const sampler = await createSampler(saved, { backend: cpuBackend, workers: 2 });
const labels = classNames.flatMap((_, label) => new Array<number>(COLUMNS).fill(label));
const images = await sampler.generate({
  labels,
  seed: 1,
  onStep: ({ share, first }) => {
    if (share === 1 && first % COLUMNS === COLUMNS - 1) console.log(`${classNames[labels[first]!]}: done`);
  },
});
await sampler.release();
await writeSheet(picture, toPixels(images), { columns: COLUMNS, rowLabels: classNames });
console.log(`see ${picture}`);
