/** @file A name that is no option of a function of the library is an error, which names the nearest. */
import { expect, test } from 'vitest';
import {
  inceptionScores,
  kernelDistance,
  manifoldScores,
  shuffledInceptionScore,
  slicedWasserstein,
} from '../src/doors/evaluate.ts';
import { checkExport, exportOnnx, serialiseSafetensors } from '../src/doors/export.ts';
import {
  ArchiveFile,
  classSheets,
  DiskCache,
  fetchWeights,
  openEmoji,
  openImageFolder,
  openModel,
  pngFiles,
  publishedFile,
  sheetFile,
  writeOnnxExport,
  writeSheet,
} from '../src/doors/node.ts';
import { planTraining, trainInFolder } from '../src/doors/train.ts';
import {
  ConfigError,
  createPipeline,
  createSampler,
  logLikelihood,
  openModel as openBytes,
} from '../src/index.ts';

// Options are checked before anything else is: what they belong to may be nothing.
const nothing = {} as never;
const options = (given: object): never => given as never;

test.each<[string, string, () => unknown]>([
  ['openImageFolder', 'memoryLimitBytes', () => openImageFolder('photos', options({ memoryLimit: 1 }))],
  ['openEmoji', 'imageSize', () => openEmoji(options({ size: 32 }))],
  ['openEmoji', 'artwork', () => openEmoji(options({ imageSize: 32, art: 'fluent-3d' }))],
  ['planTraining', 'dryRun', () => planTraining(nothing, options({ observer: {}, dryrun: true }))],
  ['trainInFolder', 'stopAfterMs', () => trainInFolder(nothing, options({ stopAfterMS: 1 }))],
  ['classSheets', 'threads', () => classSheets(options({ seed: 0, thread: 1 }))],
  ['fetchWeights', 'offline', () => fetchWeights(publishedFile('TAESD'), options({ offLine: true }))],
  ['DiskCache', 'maxBytes', () => new DiskCache(options({ folder: 'x', maxByte: 1 }))],
  ['ArchiveFile.open', 'labels', () => ArchiveFile.open('a.npz', options({ label: [] }))],
  ['sheetFile', 'columns', () => sheetFile('a.png', options({ rows: 1, colums: 1 }))],
  ['pngFiles', 'noteOf', () => pngFiles([], options({ noteof: 'x' }))],
  ['writeSheet', 'scale', () => writeSheet('a.png', nothing, options({ columns: 1, scales: 2 }))],
  ['openModel', 'weights', () => openModel('a.safetensors', options({ weight: 'ema' }))],
  ['openModel', 'weights', () => openBytes(new Uint8Array(), options({ weight: 'ema' }))],
  ['exportOnnx', 'precision', () => exportOnnx(nothing, options({ what: 'sampler', precison: 'int8' }))],
  ['writeOnnxExport', 'what', () => writeOnnxExport('a.onnx', nothing, options({ wat: 'sampler' }))],
  ['checkExport', 'threads', () => checkExport(nothing, nothing, nothing, options({ thread: 1 }))],
  ['serialiseSafetensors', 'floats', () => serialiseSafetensors(new Map(), {}, options({ float: 'f16' }))],
  ['createSampler', 'steps', () => createSampler(nothing, options({ stepz: 1 }))],
  ['createPipeline', 'steps', () => createPipeline(nothing, options({ stepz: 1 }))],
  ['logLikelihood', 'threads', () => logLikelihood(nothing, nothing, nothing, options({ thread: 1 }))],
  ['inceptionScores', 'split', () => inceptionScores([], 1, options({ splits: 10 }))],
  ['shuffledInceptionScore', 'shuffles', () => shuffledInceptionScore([], 1, options({ shuffle: 1 }))],
  ['kernelDistance', 'subsets', () => kernelDistance(nothing, nothing, options({ subset: 1 }))],
  ['manifoldScores', 'block', () => manifoldScores(nothing, nothing, options({ blocks: 1 }))],
  ['slicedWasserstein', 'power', () => slicedWasserstein(nothing, nothing, options({ powers: 1 }))],
])('%s names its %s', async (where, nearest, call) => {
  const failure = await (async () => call())().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ConfigError);
  expect(failure).toMatchObject({ where, fix: `did you mean ${nearest}?` });
});
