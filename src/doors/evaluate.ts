/** @file `udit/evaluate`: distances between sets of pictures, as pure functions of arrays. */

export { type FeatureStatistics, featureStatistics, frechetDistance } from '../metrics/frechet.ts';
export { mosaicStatistics, mosaics } from '../metrics/mosaic.ts';
export { DINOV2_PRESETS, DINOv2, type DINOv2Config } from '../networks/features/dinov2.ts';
export { FeatureNetwork } from '../networks/features/feature-network.ts';
export {
  INCEPTION_PRESETS,
  type InceptionConfig,
  type InceptionFeatures,
  InceptionV3,
} from '../networks/features/inception.ts';
export { type Draw, drawInProportion, drawOf } from '../tasks/sampling/draw.ts';
