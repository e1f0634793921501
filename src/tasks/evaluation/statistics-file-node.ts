/**
 * @file Mean and covariance of a reference in a file: our own, which names the network and the pictures that they are of,
 * and the reference batches of ADM, `mu`, `sigma`, `mu_s` and `sigma_s`.
 */
import { CheckpointError, ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, toNumbers } from '../../core/host-tensor.ts';
import { openNpzFile, readSafetensors, writeSafetensors } from '../../formats/file-node.ts';
import type { FeatureStatistics } from '../../metrics/moments.ts';

const FORMAT = 'udit-statistics-1';

/** Arrays of ADM's archives by what they are the statistics of. */
const ADM_ARRAYS = { features: ['mu', 'sigma'], spatial: ['mu_s', 'sigma_s'] } as const;

export interface StoredStatistics {
  readonly statistics: ReadonlyMap<string, FeatureStatistics>;
  /** The network and its weights, as one word; of other programs' files nobody knows it. */
  readonly extractor?: string;
  /** Of the pictures; undefined where the file does not say it. */
  readonly count?: number;
  /** SHA-256 of the pictures. */
  readonly hash?: string;
}

/** @throws CheckpointError if the file cannot be written */
export async function writeStatistics(
  path: string,
  { statistics, extractor, count, hash }: Required<StoredStatistics>,
): Promise<void> {
  const tensors = new Map<string, HostTensor>();
  for (const [name, { mean, covariance }] of statistics) {
    tensors.set(`${name}.mean`, hostTensor('f64', [mean.length], mean));
    tensors.set(`${name}.covariance`, hostTensor('f64', [mean.length, mean.length], covariance));
  }
  await writeSafetensors(path, tensors, { format: FORMAT, extractor, count: String(count), hash });
}

/**
 * @param extractor - the network with which the other side is measured
 * @throws CheckpointError if the file is damaged or of another format
 * @throws ConfigError if its statistics are of another network
 */
export async function readStatistics(path: string, extractor: string): Promise<StoredStatistics> {
  const { metadata, tensors } = await readSafetensors(path);
  if (metadata.format !== FORMAT) {
    throw new CheckpointError({
      where: path,
      problem: `its metadata says format ${metadata.format ?? '(none)'}, not ${FORMAT}: it holds no statistics`,
      fix: 'give a file that udit evaluate --save-statistics has written, a folder or an .npz archive',
    });
  }
  if (metadata.extractor !== extractor) {
    throw new ConfigError({
      where: path,
      problem: `its statistics are of the network ${metadata.extractor}, the samples are measured with ${extractor}`,
      fix: 'use one network for both: --extractor, or make the statistics again',
    });
  }
  const statistics = new Map<string, FeatureStatistics>();
  for (const [key, { data }] of tensors) {
    const [, name] = /^(.+)\.mean$/.exec(key) ?? [];
    const covariance = name && tensors.get(`${name}.covariance`);
    if (name && covariance) {
      statistics.set(name, { mean: data as Float64Array, covariance: covariance.data as Float64Array });
    }
  }
  const { count, hash } = metadata as Record<'count' | 'hash', string>;
  return { statistics, extractor, count: Number(count), hash };
}

/**
 * Statistics that stand for a reference: our own file, or an archive of ADM.
 *
 * @param extractor - the network with which the other side is measured
 * @throws CheckpointError if the file holds none
 * @throws ConfigError if its statistics are of another network
 */
export async function readReferenceStatistics(path: string, extractor: string): Promise<StoredStatistics> {
  const stored = path.endsWith('.npz')
    ? await readAdmStatistics(path)
    : await readStatistics(path, extractor);
  if (stored !== undefined) return stored;
  throw new CheckpointError({
    where: path,
    problem: 'the archive has no statistics: mu and sigma are missing',
    fix: 'give a file that udit evaluate --save-statistics has written, or a reference batch of ADM',
  });
}

/** Those of an archive of ADM; undefined if it has none, as an archive of samples. */
export async function readAdmStatistics(path: string): Promise<StoredStatistics | undefined> {
  const file = await openNpzFile(path);
  try {
    const statistics = new Map<string, FeatureStatistics>();
    for (const [name, [mu, sigma]] of Object.entries(ADM_ARRAYS)) {
      if (!file.names.includes(mu) || !file.names.includes(sigma)) continue;
      const [mean, covariance] = [
        await (await file.array(mu)).read(),
        await (await file.array(sigma)).read(),
      ];
      const width = mean.shape[0]!;
      if (mean.shape.length !== 1 || covariance.data.length !== width * width) {
        throw new CheckpointError({
          where: path,
          problem: `${mu} has ${mean.data.length} values, ${sigma} ${covariance.data.length}`,
          fix: 'the file is damaged: fetch it again',
        });
      }
      const numbers = (tensor: HostTensor) => Float64Array.from(toNumbers(tensor));
      statistics.set(name, { mean: numbers(mean), covariance: numbers(covariance) });
    }
    return statistics.size === 0 ? undefined : { statistics };
  } finally {
    await file.close();
  }
}
