/** @file What a finished cell is worth: a few numbers about the averaged weights of its checkpoint. */
import { ConfigError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';
import { countPerClass, loadBatch, type Samples } from '../../data/datasets/samples.ts';
import type { Split } from '../../data/datasets/split.ts';
import { toPixels } from '../../data/images/pixels.ts';
import type { MeasuredObjective } from '../../diffusion/objective.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { variationalBound } from '../../diffusion/variational-bound.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { frechetDistance } from '../../metrics/frechet.ts';
import type { FeatureSet } from '../../metrics/matrix-product.ts';
import { type FeatureStatistics, featureStatistics } from '../../metrics/moments.ts';
import { MOSAIC, mosaicStatistics, mosaics } from '../../metrics/mosaic.ts';
import { COARSEST } from '../../metrics/patches.ts';
import type { SavedModel } from '../../models/saved-model.ts';
import { collect } from '../evaluation/collect-node.ts';
import { patchDistance } from '../evaluation/scores.ts';
import { drawInProportion, shown } from '../sampling/draw.ts';
import { createSampler } from '../sampling/sample.ts';
import { drawsPixels } from '../sampling/settings.ts';
import { HeldOutLoss } from '../training/run/held-out-loss.ts';
import { measuredDenoising } from '../training/step/denoising.ts';
import type { EvaluationSettings } from './grid-schema.ts';
import type { MetricName } from './metrics.ts';

/** Null where a metric does not apply. */
export type CellMetrics = Readonly<Record<MetricName, number | null>>;

export interface EvaluationOptions {
  readonly backend: Backend;
  readonly threads: number;
  readonly signal: AbortSignal;
}

/** Noise of the drawn pictures: the same for all cells. */
const SAMPLING_SEED = 0;
/** Pictures at once while the held-out loss is measured. */
const HELD_OUT_BATCH = 16;
/** No more pictures of the data than this are compared with: every so many-th is taken. */
const MOST_REAL_PICTURES = 10_000;

/** @throws ConfigError if the pictures have no 8×8 tiles, though some are to be drawn */
export async function evaluateModel(
  saved: SavedModel,
  data: Split,
  settings: EvaluationSettings,
  options: EvaluationOptions,
): Promise<CellMetrics> {
  const objective = createObjective(saved.card.objective);
  const heldOut = (measured: MeasuredObjective) =>
    data.heldOut.length === 0 ? null : heldOutMean(saved, measured, data.heldOut, settings.passes, options);
  return {
    heldOutLoss: await heldOut(objective),
    // Latents have no grey levels, so there is no likelihood of them.
    boundBits: drawsPixels(saved.network.config) ? await heldOut(variationalBound(objective)) : null,
    ...(await distancesOf(saved, data, settings, options)),
  };
}

async function heldOutMean(
  { network, weights }: SavedModel,
  measured: MeasuredObjective,
  samples: Samples,
  passes: number,
  { backend, threads, signal }: EvaluationOptions,
): Promise<number> {
  signal.throwIfAborted();
  const measuring = measuredDenoising(network, measured);
  const loss = await HeldOutLoss.compile(measuring, samples, HELD_OUT_BATCH, backend, { threads });
  try {
    return await loss.measure(weights, passes, signal);
  } finally {
    await loss.release();
  }
}

/** Of drawn pictures from those of the data. */
async function distancesOf(
  saved: SavedModel,
  data: Split,
  { samples, passes: _, ...requested }: EvaluationSettings,
  { backend, threads, signal }: EvaluationOptions,
): Promise<Pick<CellMetrics, 'swd' | 'frechet'>> {
  if (samples === null) return { swd: null, frechet: null };
  const [, height, width] = data.training.shape;
  expectTiles({ height, width });
  signal.throwIfAborted();
  const sampler = await createSampler(saved, { ...requested, images: samples, cores: threads, backend });
  try {
    const draw = drawInProportion(classCounts(data), samples);
    const images = shown(await sampler.generate({ ...draw, seed: SAMPLING_SEED, signal }));
    const frechet = frechetDistance(mosaicStatistics(images), await realStatistics(data));
    if (Math.min(height, width) < COARSEST) return { swd: null, frechet };
    const [real, drawn] = [await patchesOf(realPictures(data), signal), await patchesOf([images], signal)];
    return { swd: (await patchDistance(real, drawn)).mean, frechet };
  } finally {
    await sampler.release();
  }
}

/** @throws ConfigError if a side of pictures is no multiple of 8 */
export function expectTiles({ height, width }: ImageSize): void {
  if (height % MOSAIC === 0 && width % MOSAIC === 0) return;
  const next = (side: number) => Math.ceil(side / MOSAIC) * MOSAIC;
  throw new ConfigError({
    where: 'evaluation.samples',
    problem: `pictures of ${height}×${width} cannot be cut into ${MOSAIC}×${MOSAIC} tiles for the Fréchet distance`,
    fix: `use a data.imageSize such as ${formatImageSize({ height: next(height), width: next(width) })}, or set evaluation.samples to null`,
  });
}

function classCounts({ training, heldOut }: Split): number[] {
  const [seen, unseen] = [training, heldOut].map(countPerClass) as [number[], number[]];
  return seen.map((count, label) => count + unseen[label]!);
}

/** Of all pictures, seen in training or not, as they are without augmentation. */
async function realStatistics(data: Split): Promise<FeatureStatistics> {
  const features: Float64Array[] = [];
  for await (const x of realPictures(data)) features.push(mosaics(x));
  const width = features[0]!.length;
  const all = new Float64Array(features.length * width);
  for (const [i, row] of features.entries()) all.set(row, i * width);
  return featureStatistics(all, width);
}

/** One after the other, f32 [1, C, H, W]. */
async function* realPictures({ training, heldOut }: Split): AsyncGenerator<HostTensor<'f32'>> {
  const total = training.length + heldOut.length;
  const stride = Math.ceil(total / MOST_REAL_PICTURES);
  for (const samples of [training, heldOut]) {
    for (let index = 0; index < samples.length; index += stride) {
      yield (await loadBatch(samples, [index], null)).x;
    }
  }
}

/** Patches of all pictures, f32 [N, C, H, W] at a time. */
async function patchesOf(
  pictures: Iterable<HostTensor<'f32'>> | AsyncIterable<HostTensor<'f32'>>,
  signal: AbortSignal,
): Promise<readonly FeatureSet[]> {
  const images: HostTensor<'u8'>[] = [];
  for await (const x of pictures) images.push(toPixels(x));
  const [, height, width] = images[0]!.shape as [number, number, number, number];
  const { patches } = await collect(
    {
      ...{ name: 'pictures', kind: 'data set', size: { height, width }, doubts: [], provenance: {} },
      count: images.reduce((sum, { shape }) => sum + shape[0]!, 0),
      identity: null,
      batches: async function* () {
        yield* images;
      },
      close: async () => {},
    },
    { patches: true, folder: null, signal },
  );
  return patches!;
}
