/** @file `udit/evaluate`: distances between sets of pictures, as pure functions of arrays. */

export { type FeatureStatistics, featureStatistics, frechetDistance } from '../metrics/frechet.ts';
export { mosaicStatistics, mosaics } from '../metrics/mosaic.ts';
export { type Draw, drawInProportion, drawOf } from '../tasks/sampling/draw.ts';
