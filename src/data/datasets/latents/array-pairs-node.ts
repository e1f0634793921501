/**
 * @file Latents as fast-DiT, U-DiT and DiCo store them: a folder `*_features` and a folder `*_labels`, with an `.npy` file
 * of the same name for each picture in both. Features are float32[1, C, H, W] samples, or [2, C, H, W] of the picture and
 * its mirror image; labels are int64[1].
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../../core/errors.ts';
import { formatShape, sizeOf } from '../../../core/shape.ts';
import { parseNpy } from '../../../formats/npy.ts';
import type { PreparationOptions } from '../preparation-node.ts';
import { cachedLabels } from './cached-labels-node.ts';
import { numberedClasses } from './label-classes.ts';
import { sampleConvention } from './latent-conventions.ts';
import { latentStatistics } from './latent-statistics.ts';
import type { LatentStore } from './latent-store.ts';
import type { OpenedLatents } from './opened-latents.ts';
import {
  copyValues,
  expectOneSize,
  filesOfFolder,
  readFloats,
  type StoredFiles,
} from './stored-files-node.ts';

const FEATURES = '_features';
const LABELS = '_labels';

/** The folders of features in `root`, by name. */
export function featureFolders(names: readonly string[]): string[] {
  return names.filter((name) => name.endsWith(FEATURES));
}

/** @throws DataError unless each file of features has its label */
export async function openArrayPairs(root: string, options: PreparationOptions): Promise<OpenedLatents> {
  const { features, labels: labelFiles } = await listPairs(root);
  const names = [...features.files.keys()];
  expectSameNames(root, features, labelFiles);
  expectOneSize(features, names);
  const first = await readFloats(features, names[0]!);
  const [pictures = 0, channels = 0, height = 0, width = 0, ...more] = first.shape;
  if (
    first.shape.length !== 4 ||
    more.length > 0 ||
    (pictures !== 1 && pictures !== 2) ||
    sizeOf(first.shape) === 0
  ) {
    throw new DataError({
      where: `${features.where}: ${names[0]}`,
      problem: `its array is ${formatShape(first.shape)}; latents are [1, C, H, W], or [2, C, H, W] with the mirror image`,
      fix: 'write one array for each picture',
    });
  }
  const shape = [channels, height, width] as const;
  const elements = sizeOf(shape);
  const hasMirrored = pictures === 2;
  const labels = await cachedLabels(labelFiles, (name) => readLabel(labelFiles, name), options);
  const stored = {
    name: root,
    shape,
    hasMirrored,
    labels,
    classNames: numberedClasses(labels, labelFiles.where),
    sampleNames: names.map((name) => name.replace(/\.npy$/, '')),
    async read(index: number, mirrored: boolean, out: Float32Array) {
      const name = names[index]!;
      const both = new Float32Array(pictures * elements);
      copyValues(await readFloats(features, name), first.shape, `${features.where}: ${name}`, both);
      out.set(mirrored ? both.subarray(elements) : both.subarray(0, elements));
    },
  } satisfies Partial<LatentStore>;
  const { told, warning, ...convention } = sampleConvention(
    await latentStatistics({ ...stored, values: 'samples' }),
  );
  return {
    layout: hasMirrored ? 'DiCo' : 'fast-DiT',
    store: { ...stored, ...convention },
    told,
    warnings: warning === undefined ? [] : [warning],
  };
}

async function listPairs(root: string): Promise<{ features: StoredFiles; labels: StoredFiles }> {
  const names = await readdir(root);
  const [folder, another] = featureFolders(names);
  if (another !== undefined) {
    throw new DataError({
      where: root,
      problem: `there are several folders of features: ${featureFolders(names).join(', ')}`,
      fix: 'keep one pair of features and labels in a folder',
    });
  }
  const labelFolder = folder!.slice(0, -FEATURES.length) + LABELS;
  if (!names.includes(labelFolder)) {
    throw new DataError({
      where: root,
      problem: `there is a folder ${folder}, but no folder ${labelFolder}`,
      fix: `put the labels there, an .npy file for each of ${folder}`,
    });
  }
  const isArray = (name: string) => name.endsWith('.npy');
  const features = await filesOfFolder(join(root, folder!), isArray);
  if (features.files.size === 0) {
    throw new DataError({
      where: features.where,
      problem: 'there are no .npy files in it',
      fix: 'put an array for each picture there',
    });
  }
  return { features, labels: await filesOfFolder(join(root, labelFolder), isArray) };
}

function expectSameNames(root: string, features: StoredFiles, labels: StoredFiles): void {
  const without = (these: StoredFiles, others: StoredFiles) =>
    [...these.files.keys()].filter((name) => !others.files.has(name));
  const unlabelled = without(features, labels);
  const unmatched = without(labels, features);
  if (unlabelled.length === 0 && unmatched.length === 0) return;
  throw new DataError({
    where: root,
    problem: `${features.files.size} files of features do not match ${labels.files.size} of labels`,
    facts: [
      ...(unlabelled.length === 0 ? [] : [['without a label', firstOf(unlabelled)] as const]),
      ...(unmatched.length === 0 ? [] : [['without features', firstOf(unmatched)] as const]),
    ],
    fix: 'copy the missing files, or remove those that have no counterpart',
  });
}

const LONGEST_LIST = 3;

function firstOf(names: readonly string[]): string {
  const more = names.length > LONGEST_LIST ? ` and ${names.length - LONGEST_LIST} more` : '';
  return `${names.slice(0, LONGEST_LIST).join(', ')}${more}`;
}

async function readLabel(labels: StoredFiles, name: string): Promise<number> {
  const where = `${labels.where}: ${name}`;
  const { data, shape } = parseNpy(await labels.read(name), where);
  if (data.length === 1) return Number(data[0]);
  throw new DataError({
    where,
    problem: `its array is ${formatShape(shape)}; a label is one number`,
    fix: 'write one label for each picture',
  });
}
