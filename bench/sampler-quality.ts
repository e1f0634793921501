/**
 * @file Which sampler draws best with how many runs of the network: every contender draws from the bundled model, and
 * the table of a guide is written. What has been measured is kept in a file by the weights' hash, so that the same
 * command goes on where it was stopped; other weights are measured anew. Takes a quarter of an hour on two idle cores.
 *
 *     npx tsx bench/sampler-quality.ts
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostTensor } from '../src/core/host-tensor.ts';
import { openEmoji } from '../src/data/datasets/emoji-node.ts';
import { loadBatch } from '../src/data/datasets/samples.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/file-node.ts';
import { writeFileAtomic } from '../src/host/files/atomic-write-node.ts';
import { makeFolder } from '../src/host/files/make-folder-node.ts';
import { physicalCores } from '../src/host/machine/physical-cores-node.ts';
import { frechetDistance } from '../src/metrics/frechet.ts';
import { type FeatureStatistics, featureStatistics } from '../src/metrics/moments.ts';
import { mosaicStatistics, mosaics } from '../src/metrics/mosaic.ts';
import { BUNDLED_CHECKPOINT, openCheckpoint } from '../src/models/bundled-node.ts';
import type { SavedModel } from '../src/models/saved-model.ts';
import { type Draw, drawInProportion, drawOf, shown } from '../src/tasks/sampling/draw.ts';
import { createSampler, type StepProgress } from '../src/tasks/sampling/sample.ts';
import { CONTENDERS, type Contender, followsFlow, REFERENCE } from './samplers/contenders.ts';
import { rmsDistance } from './samplers/rms-distance.ts';
import { formatTable, type Measurement, withTable } from './samplers/table.ts';

const DOCUMENT = fileURLToPath(new URL('../docs/guides/choosing-a-sampler.md', import.meta.url));
const RESULTS = fileURLToPath(new URL('../runs/sampler-quality/', import.meta.url));
const SEED = 0;
const CFG_SCALE = 3;
/** Pictures for the Fréchet distance, and for the distance from the exact flow. */
const FRECHET_COUNT = 504;
const DISTANCE_PER_CLASS = 4;

/** What has been measured so far, by the JSON of the contender. */
type Results = Record<string, Measurement>;

interface Truth {
  readonly statistics: FeatureStatistics;
  /** The Fréchet distance of as many real pictures from the other ones: what a perfect model would reach. */
  readonly floor: number;
  readonly classCounts: readonly number[];
}

async function readTruth(imageSize: number | string): Promise<Truth> {
  const emoji = await openEmoji({ imageSize });
  const { x } = await loadBatch(emoji, [...emoji.sampleNames.keys()], null);
  const classCounts = emoji.classNames.map(
    (_, label) => Array.from(emoji.labels).filter((other) => other === label).length,
  );
  const features = mosaics(x);
  const width = features.length / emoji.length;
  // Every so many-th picture: they are sorted by class, so each class has its share.
  const chosen = new Set(
    Array.from({ length: FRECHET_COUNT }, (_, i) => Math.floor((i * emoji.length) / FRECHET_COUNT)),
  );
  const side = (isChosen: boolean) =>
    featureStatistics(
      features.filter((__, i) => chosen.has(Math.floor(i / width)) === isChosen),
      width,
    );
  return {
    statistics: featureStatistics(features, width),
    floor: frechetDistance(side(true), side(false)),
    classCounts,
  };
}

async function drawWith(
  saved: SavedModel,
  { frechet, ...settings }: Contender,
  { labels, indices }: Draw,
): Promise<{ readonly images: HostTensor<'f32'>; readonly networkRuns: number }> {
  const sampler = await createSampler(saved, {
    ...settings,
    cfgScale: CFG_SCALE,
    backend: cpuBackend,
    workers: physicalCores(),
    batchSize: 6,
  });
  const evaluations = new Map<number, number>();
  const onStep = ({ first, nfe }: StepProgress) => evaluations.set(first, nfe);
  const images = shown(await sampler.generate({ labels, indices, seed: SEED, onStep }));
  await sampler.release();
  // Steps that are chosen on the way are all guided, with two runs per evaluation.
  return { images, networkRuns: sampler.networkRuns ?? 2 * mean([...evaluations.values()]) };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The pictures of the exact flow, drawn once for these weights. */
async function referencePictures(saved: SavedModel, draw: Draw, path: string): Promise<HostTensor<'f32'>> {
  const kept = await readSafetensors(path).catch(() => undefined);
  if (kept !== undefined) return kept.tensors.get('images') as HostTensor<'f32'>;
  const { images } = await drawWith(saved, REFERENCE, draw);
  await writeSafetensors(path, new Map([['images', images]]), {});
  return images;
}

async function readResults(path: string): Promise<Results> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  return JSON.parse(text) as Results;
}

async function main(): Promise<void> {
  const weights = await readFile(BUNDLED_CHECKPOINT);
  const hash = createHash('sha256').update(weights).digest('hex').slice(0, 12);
  const folder = join(RESULTS, hash);
  await makeFolder(folder, { fix: 'make it by hand' });
  const resultsPath = join(folder, 'results.json');
  const saved = await openCheckpoint(BUNDLED_CHECKPOINT);
  const truth = await readTruth(saved.network.config.inputSize);
  const few = drawOf(truth.classCounts.map(() => DISTANCE_PER_CLASS));
  const many = drawInProportion(truth.classCounts, FRECHET_COUNT);
  const reference = await referencePictures(saved, few, join(folder, 'reference.safetensors'));
  const results = await readResults(resultsPath);

  for (const contender of CONTENDERS) {
    await measureOnce(contender, 'networkRuns', async () => {
      const { images, networkRuns } = await drawWith(saved, contender, few);
      return { networkRuns, ...(followsFlow(contender) ? { distance: rmsDistance(images, reference) } : {}) };
    });
  }
  for (const contender of CONTENDERS.filter(({ frechet }) => frechet)) {
    await measureOnce(contender, 'frechet', async () => {
      const { images } = await drawWith(saved, contender, many);
      return { frechet: frechetDistance(mosaicStatistics(images), truth.statistics) };
    });
  }

  /** Adds to what is known of a contender, unless it is known already, and brings the guide up to date. */
  async function measureOnce(
    contender: Contender,
    what: keyof Measurement,
    measure: () => Promise<Measurement>,
  ): Promise<void> {
    const key = JSON.stringify(contender);
    if (results[key]?.[what] === undefined) {
      results[key] = { ...results[key], ...(await measure()) };
      await writeFileAtomic(resultsPath, [Buffer.from(JSON.stringify(results, null, 1))]);
      console.log(key, JSON.stringify(results[key]));
    }
    const rows = CONTENDERS.map((row) => ({ contender: row, ...results[JSON.stringify(row)] }));
    const table = `${formatTable(rows)}\n\n${introduction(saved, truth, hash)}`;
    const document = await readFile(DOCUMENT, 'utf8');
    await writeFileAtomic(DOCUMENT, [Buffer.from(withTable(document, table, DOCUMENT))]);
  }
}

function introduction({ card }: SavedModel, { floor, classCounts }: Truth, hash: string): string {
  const pictures = classCounts.reduce((sum, count) => sum + count, 0);
  const [seen, all] = [card.nimg, pictures].map((count) => count.toLocaleString('en'));
  return [
    `Model ${card.name}, ${seen} pictures seen (sha256 ${hash}…), cfg scale ${CFG_SCALE}, seed ${SEED}.`,
    `Distances: ${DISTANCE_PER_CLASS * classCounts.length} pictures.`,
    `Fréchet distances: ${FRECHET_COUNT} pictures against all ${all} emoji, seen in training or not;`,
    `${FRECHET_COUNT} of the emoji themselves are at ${floor.toFixed(2)} from the others.`,
  ].join('\n');
}

await main();
