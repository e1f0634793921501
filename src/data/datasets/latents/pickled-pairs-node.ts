/**
 * @file Latents as U-ViT stores them: a folder of files `N.npy`, each an array of two objects: moments float32[2·C, H, W]
 * (means, then logarithms of variances), and a label. The mirrored picture is a file of its own. Pickles are read as data.
 */
import { DataError } from '../../../core/errors.ts';
import type { HostTensor } from '../../../core/host-tensor.ts';
import { formatShape, sizeOf } from '../../../core/shape.ts';
import { parseObjectNpy } from '../../../formats/numpy-objects.ts';
import type { PreparationOptions } from '../preparation-node.ts';
import { cachedLabels } from './cached-labels-node.ts';
import { numberedClasses } from './label-classes.ts';
import { distributionConvention } from './latent-conventions.ts';
import { latentStatistics } from './latent-statistics.ts';
import type { LatentStore } from './latent-store.ts';
import type { OpenedLatents } from './opened-latents.ts';
import { copyValues, type StoredFiles } from './stored-files-node.ts';

interface Pair {
  readonly moments: HostTensor<'f32'>;
  readonly label: number;
}

/** @throws DataError if a file is no such pair */
export async function openPickledPairs(
  stored: StoredFiles,
  options: PreparationOptions,
): Promise<OpenedLatents> {
  const names = [...stored.files.keys()];
  const first = await readPair(stored, names[0]!);
  const [halves = 0, height = 0, width = 0] = first.moments.shape;
  const labels = await cachedLabels(stored, async (name) => (await readPair(stored, name)).label, options);
  const store = {
    name: stored.where,
    shape: [halves / 2, height, width] as const,
    hasMirrored: false,
    labels,
    classNames: numberedClasses(labels, stored.where),
    sampleNames: names.map((name) => name.replace(/\.npy$/, '')),
    async read(index: number, _mirrored: boolean, out: Float32Array) {
      const name = names[index]!;
      const { moments } = await readPair(stored, name);
      copyValues(moments, first.moments.shape, `${stored.where}: ${name}`, out);
    },
  } satisfies Partial<LatentStore>;
  const { told, warning, ...convention } = distributionConvention(
    await latentStatistics({ ...store, values: 'mean-std' }),
  );
  return {
    layout: 'U-ViT',
    store: { ...store, ...convention },
    told,
    warnings: warning === undefined ? [] : [warning],
  };
}

async function readPair(stored: StoredFiles, name: string): Promise<Pair> {
  const where = `${stored.where}: ${name}`;
  const [moments, label, ...more] = parseObjectNpy(await stored.read(name), where).map(asTensor);
  const isPair =
    moments?.dtype === 'f32' &&
    moments.shape.length === 3 &&
    moments.shape[0]! % 2 === 0 &&
    sizeOf(moments.shape) > 0;
  if (!isPair || label?.data.length !== 1 || more.length > 0) {
    throw new DataError({
      where,
      problem: `it holds ${moments === undefined ? 'no array' : `${moments.dtype}${formatShape(moments.shape)}`}; a pair of float32 moments [2·C, H, W] and a label is needed`,
      fix: 'write a pair for each picture',
    });
  }
  return { moments: moments as HostTensor<'f32'>, label: Number(label.data[0]) };
}

function asTensor(value: unknown): HostTensor | undefined {
  if (typeof value === 'number')
    return { dtype: 'f64', shape: [], data: Float64Array.of(value) } as HostTensor;
  return typeof value === 'object' && value !== null && 'dtype' in value ? (value as HostTensor) : undefined;
}
