/** @file Weights in several files, as large models are published: an index in JSON says which tensor is in which. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import * as v from 'valibot';
import { CheckpointError } from '../core/errors.ts';
import { readJson } from '../host/files/read-json-node.ts';
import type { OpenTensorFile } from './tensor-file.ts';

/** `model.safetensors.index.json`, `diffusion_pytorch_model.safetensors.index.fp16.json`. */
const INDEX_NAME = /\.index(\.[\w-]+)?\.json$/;
/** `model-00001-of-00002.safetensors`. */
const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;

const indexSchema = v.object({ weight_map: v.record(v.string(), v.string()) });

/** What a tensor's values are read from. */
interface Parts {
  readonly files: readonly string[];
  /** Undefined where there is no index: the files say themselves what is in them. */
  readonly fileOf?: ReadonlyMap<string, string>;
}

/** Is it an index, or one of several parts? */
export function isInParts(path: string): boolean {
  const name = basename(path);
  return INDEX_NAME.test(name) || PART_NAME.test(name);
}

/**
 * What holds the weights in a folder as models are published: an index, a part, or the only file of its kind. Of variants,
 * such as `model.fp16.safetensors` beside `model.safetensors`, the one without a name is meant.
 */
export async function findWeights(folder: string): Promise<string | undefined> {
  const all = await readdir(folder).catch((): string[] => []);
  const names = all.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const only = (kind: RegExp): string | undefined => {
    const [first, ...others] = names.filter((name) => kind.test(name));
    const stem = first?.slice(0, -extname(first).length);
    return others.every((name) => name.startsWith(`${stem}.`)) ? first : undefined;
  };
  const found =
    names.find((name) => INDEX_NAME.test(name)) ??
    names.find((name) => PART_NAME.test(name)) ??
    only(/^[^.].*\.safetensors$/) ??
    only(/^[^.].*\.(pt|pth|ckpt|bin)$/);
  return found === undefined ? undefined : join(folder, found);
}

/**
 * All parts as one file, whichever of them or their index is given.
 *
 * @param open - opens one file
 * @throws CheckpointError naming a part that is missing, or a tensor that is not where the index says
 */
export async function openParts(
  path: string,
  open: (path: string) => Promise<OpenTensorFile>,
): Promise<OpenTensorFile> {
  const folder = dirname(path);
  const { files, fileOf } = await listParts(path);
  const opened = new Map<string, OpenTensorFile>();
  const close = async (): Promise<void> => {
    for (const file of opened.values()) await file.close();
  };
  try {
    for (const name of files) {
      if (!existsSync(join(folder, name))) throw damagedIndex(path, `its part ${name} is not beside it`);
      opened.set(name, await open(join(folder, name)));
    }
    const owners = fileOf ?? ownersOf(opened, path);
    const infos = [...owners].map(([name, file]) => {
      const info = opened.get(file)!.infos.get(name);
      if (info === undefined && opened.get(file)!.unreadable?.has(name) !== true) {
        throw damagedIndex(path, `tensor ${name} is not in ${file}, where the index puts it`);
      }
      return [name, info] as const;
    });
    const all = [...opened.values()];
    return {
      format: `${all[0]!.format} in ${plural(files.length)}`,
      metadata: Object.assign({}, ...all.map(({ metadata }) => metadata)),
      infos: new Map(infos.flatMap(([name, info]) => (info === undefined ? [] : [[name, info]]))),
      unreadable: new Map(all.flatMap(({ unreadable }) => [...(unreadable ?? [])])),
      passedOver: [...new Set(all.flatMap(({ passedOver }) => passedOver ?? []))],
      read: (name) => opened.get(owners.get(name)!)!.read(name),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function plural(count: number): string {
  return count === 1 ? 'one file' : `${count} files`;
}

async function listParts(path: string): Promise<Parts> {
  if (INDEX_NAME.test(basename(path))) return readIndex(path);
  const folder = dirname(path);
  const names = await readdir(folder).catch((): string[] => []);
  for (const index of names.filter((name) => INDEX_NAME.test(name))) {
    const parts = await readIndex(join(folder, index));
    if (parts.files.includes(basename(path))) return parts;
  }
  const [, begin, , count, end] = PART_NAME.exec(basename(path)) as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  if (Number(count) > MAX_PARTS)
    throw damagedIndex(path, `its name says ${Number(count)} parts, of at most ${MAX_PARTS}`);
  const files = Array.from(
    { length: Number(count) },
    (_, i) => `${begin}-${String(i + 1).padStart(5, '0')}-of-${count}${end}`,
  );
  return { files };
}

/** The largest models of today come in a few hundred. */
const MAX_PARTS = 4096;

async function readIndex(path: string): Promise<Parts> {
  const content = await readJson(path).catch((cause: unknown) => {
    throw damagedIndex(path, 'the index cannot be read as JSON', cause);
  });
  const parsed = v.safeParse(indexSchema, content);
  if (!parsed.success) throw damagedIndex(path, 'the index has no weight_map from tensors to files');
  const fileOf = new Map(Object.entries(parsed.output.weight_map));
  const files = [...new Set(fileOf.values())].sort();
  const outside = files.find((name) => name !== basename(name) || name === '..');
  if (outside !== undefined) throw damagedIndex(path, `the index names ${outside}, which is not beside it`);
  if (files.length === 0) throw damagedIndex(path, 'the index names no file');
  return { files, fileOf };
}

/** @throws CheckpointError for a tensor in two parts */
function ownersOf(parts: ReadonlyMap<string, OpenTensorFile>, path: string): Map<string, string> {
  const owners = new Map<string, string>();
  for (const [file, { infos }] of parts) {
    for (const name of infos.keys()) {
      const other = owners.get(name);
      if (other !== undefined) throw damagedIndex(path, `tensor ${name} is in ${other} and in ${file}`);
      owners.set(name, file);
    }
  }
  return owners;
}

function damagedIndex(where: string, problem: string, cause?: unknown): CheckpointError {
  return new CheckpointError({
    where,
    problem,
    fix: 'download the index and all of its parts again, into one folder',
    cause,
  });
}
