/**
 * @file Draws a sheet of pictures from a checkpoint, one row per class.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/sample.ts [checkpoint] [picture]
 */
import { createPipeline, drawInto } from 'udit';
import { bundledModel, cpuBackend, openModel, sheetFile } from 'udit/node';

const [checkpoint = bundledModel, picture = 'samples.png'] = process.argv.slice(2);
const COLUMNS = 6;

const saved = await openModel(checkpoint);
const { name, step, classNames } = saved.card;
console.log(`${name} after ${step} steps, ${classNames.length} classes, ${saved.source} weights`);

// Network, guidance and sampler update become one session per worker, and each core gets one.
const labels = classNames.flatMap((_, label) => new Array<number>(COLUMNS).fill(label));
const pipeline = await createPipeline(saved, { backend: cpuBackend, images: labels.length });
const sheet = sheetFile(picture, { rows: classNames.length, columns: COLUMNS, rowLabels: classNames });
const onStep = ({ share, first }: { readonly share: number; readonly first: number }): void => {
  if (share === 1 && first % COLUMNS === COLUMNS - 1) console.log(`${classNames[labels[first]!]}: done`);
};
await drawInto(pipeline, { labels, seed: 1, onStep }, [sheet]);
await pipeline.release();
console.log(`see ${picture}`);
