/**
 * @file Latents as EDM2 and REPA store them: a folder or zip archive with `dataset.json` and a file
 * `NNNNN/img-mean-std-NNNNNNNN.npy` for each picture, float32[2·C, H, W]: means, then deviations.
 */
import { basename } from 'node:path';
import * as v from 'valibot';
import { DataError } from '../../../core/errors.ts';
import { formatShape, sizeOf } from '../../../core/shape.ts';
import { parseJson } from '../../../host/files/read-json-node.ts';
import { numberedClasses } from './label-classes.ts';
import { distributionConvention } from './latent-conventions.ts';
import { latentStatistics } from './latent-statistics.ts';
import type { LatentStore } from './latent-store.ts';
import type { OpenedLatents } from './opened-latents.ts';
import { copyValues, expectOneSize, readFloats, type StoredFiles } from './stored-files-node.ts';

export const LIST = 'dataset.json';

/** Names of the files that matter here. */
export function isDistributionFile(name: string): boolean {
  return name === LIST || isArrayName(name);
}

function isArrayName(name: string): boolean {
  return /^img-mean-std-.*\.npy$/.test(basename(name));
}

const label = v.pipe(v.number(), v.integer());
const listSchema = v.object({
  labels: v.nullable(v.union([v.array(v.tuple([v.string(), label])), v.record(v.string(), label)])),
});

/** @throws DataError unless each file has its label */
export async function openDistributions(stored: StoredFiles): Promise<OpenedLatents> {
  const names = [...stored.files.keys()].filter(isArrayName);
  const labels = await readLabels(stored, names);
  expectOneSize(stored, names);
  const first = await readFloats(stored, names[0]!);
  const [halves = 0, height = 0, width = 0] = first.shape;
  if (first.shape.length !== 3 || halves % 2 !== 0 || sizeOf(first.shape) === 0) {
    throw new DataError({
      where: `${stored.where}: ${names[0]}`,
      problem: `its array is ${formatShape(first.shape)}; means and deviations are [2·C, H, W]`,
      fix: 'write one array for each picture',
    });
  }
  const store = {
    name: stored.where,
    shape: [halves / 2, height, width] as const,
    hasMirrored: false,
    labels,
    classNames: numberedClasses(labels, `${stored.where}: ${LIST}`),
    sampleNames: names.map((name) => name.replace(/\.npy$/, '')),
    async read(index: number, _mirrored: boolean, out: Float32Array) {
      const name = names[index]!;
      copyValues(await readFloats(stored, name), first.shape, `${stored.where}: ${name}`, out);
    },
  } satisfies Partial<LatentStore>;
  const { told, warning, ...convention } = distributionConvention(
    await latentStatistics({ ...store, values: 'mean-std' }),
  );
  return {
    layout: convention.space.pictureRange === undefined ? 'REPA' : 'EDM2',
    store: { ...store, ...convention },
    told,
    warnings: warning === undefined ? [] : [warning],
  };
}

async function readLabels(stored: StoredFiles, names: readonly string[]): Promise<Int32Array> {
  const where = `${stored.where}: ${LIST}`;
  const text = new TextDecoder().decode(await stored.read(LIST));
  let list: unknown;
  try {
    list = parseJson(text);
  } catch (cause) {
    throw new DataError({
      where,
      problem: `is not valid JSON: ${(cause as Error).message}`,
      fix: 'copy or write it again',
      cause,
    });
  }
  const parsed = v.safeParse(listSchema, list);
  if (!parsed.success) {
    throw new DataError({
      where,
      problem: `its labels are no list of file names with numbers: ${parsed.issues[0].message}`,
      fix: 'write it as {"labels": [["00000/img-mean-std-00000000.npy", 0], …]}',
    });
  }
  const given = parsed.output.labels;
  if (given === null) return new Int32Array(names.length);
  const labels = new Map(Array.isArray(given) ? given : Object.entries(given));
  const missing = names.filter((name) => !labels.has(name));
  if (missing.length === 0 && labels.size === names.length && names.length > 0) {
    return Int32Array.from(names, (name) => labels.get(name)!);
  }
  const known = new Set(names);
  const absent = [...labels.keys()].filter((name) => !known.has(name));
  throw new DataError({
    where: stored.where,
    problem: `${names.length} files of latents do not match ${labels.size} labels`,
    facts: [
      ...(missing.length === 0 ? [] : [['without a label', missing.slice(0, 3).join(', ')] as const]),
      ...(absent.length === 0 ? [] : [['without a file', absent.slice(0, 3).join(', ')] as const]),
    ],
    fix: 'copy the missing files, or write dataset.json again',
  });
}
