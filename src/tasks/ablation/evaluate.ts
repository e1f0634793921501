/** @file What a finished cell is worth: three numbers about the averaged weights of its checkpoint. */
import { ConfigError } from '../../core/errors.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';
import { countPerClass, loadBatch, type Samples } from '../../data/datasets/samples.ts';
import type { Split } from '../../data/datasets/split.ts';
import type { MeasuredObjective } from '../../diffusion/objective.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { variationalBound } from '../../diffusion/variational-bound.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { frechetDistance } from '../../metrics/frechet.ts';
import { type FeatureStatistics, featureStatistics } from '../../metrics/moments.ts';
import { MOSAIC, mosaicStatistics, mosaics } from '../../metrics/mosaic.ts';
import type { SavedModel } from '../../models/saved-model.ts';
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
    frechet: await frechetOf(saved, data, settings, options),
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

async function frechetOf(
  saved: SavedModel,
  data: Split,
  { samples, passes: _, ...requested }: EvaluationSettings,
  { backend, threads, signal }: EvaluationOptions,
): Promise<number | null> {
  if (samples === null) return null;
  const [, height, width] = data.training.shape;
  expectTiles({ height, width });
  signal.throwIfAborted();
  const sampler = await createSampler(saved, { ...requested, images: samples, cores: threads, backend });
  try {
    const draw = drawInProportion(classCounts(data), samples);
    const images = shown(await sampler.generate({ ...draw, seed: SAMPLING_SEED, signal }));
    return frechetDistance(mosaicStatistics(images), await realStatistics(data));
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
async function realStatistics({ training, heldOut }: Split): Promise<FeatureStatistics> {
  const total = training.length + heldOut.length;
  const stride = Math.ceil(total / MOST_REAL_PICTURES);
  const features: Float64Array[] = [];
  for (const samples of [training, heldOut]) {
    for (let index = 0; index < samples.length; index += stride) {
      const { x } = await loadBatch(samples, [index], null);
      features.push(mosaics(x));
    }
  }
  const width = features[0]!.length;
  const all = new Float64Array(features.length * width);
  for (const [i, row] of features.entries()) all.set(row, i * width);
  return featureStatistics(all, width);
}
