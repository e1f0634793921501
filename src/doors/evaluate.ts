/** @file `udit/evaluate`: distances between sets of pictures, as pure functions of arrays. */

export type { FeatureRows, Features } from '../metrics/feature-rows.ts';
export { type FrechetDistance, frechetDistance, frechetParts } from '../metrics/frechet.ts';
export {
  ClassSums,
  inceptionScores,
  type ShuffleOptions,
  type SplitOptions,
  shuffledInceptionScore,
} from '../metrics/inception-score.ts';
export { type KernelDistanceOptions, kernelDistance } from '../metrics/kernel-distance.ts';
export {
  type ManifoldOptions,
  type ManifoldPoint,
  type ManifoldScores,
  manifoldCurve,
  manifoldScores,
  neighbourRadii,
} from '../metrics/manifold.ts';
export { type FeatureSet, type MatrixProduct, plainProduct } from '../metrics/matrix-product.ts';
export { FeatureMoments, type FeatureStatistics, featureStatistics } from '../metrics/moments.ts';
export { mosaicStatistics, mosaics } from '../metrics/mosaic.ts';
export {
  type Planes,
  type PyramidDistance,
  patchDescriptors,
  pyramidDistance,
  pyramidPatches,
} from '../metrics/patches.ts';
export { type SlicedOptions, slicedWasserstein } from '../metrics/sliced-wasserstein.ts';
export { type Spread, spreadOf } from '../metrics/spread.ts';
export { DINOV2_PRESETS, DINOv2, type DINOv2Config } from '../networks/features/dinov2.ts';
export { FeatureNetwork } from '../networks/features/feature-network.ts';
export {
  INCEPTION_PRESETS,
  type InceptionConfig,
  type InceptionFeatures,
  InceptionV3,
} from '../networks/features/inception.ts';
export { type Draw, drawInProportion, drawOf } from '../tasks/sampling/draw.ts';
