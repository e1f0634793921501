/**
 * @file Fixtures on disk: a JSON file with configuration and tolerances, and beside it a safetensors file of the same
 * name with inputs and recorded values. What a fixture is about is found from their content, never from their place.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { DataError } from '../../src/core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../../src/core/host-tensor.ts';
import { sizeOf } from '../../src/core/shape.ts';
import { readSafetensors } from '../../src/formats/file-node.ts';

export interface Fixture {
  /** Path below the folder that is checked, without its ending. */
  readonly name: string;
  /** The JSON file. */
  readonly path: string;
  readonly json: unknown;
  /** Contents of the safetensors file of the same name; empty if there is none. */
  readonly tensors: TensorMap;
}

/** JSON files below `folder`, in order. @throws DataError if the folder is not there or cannot be read */
export async function listFixtures(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new DataError({
      where: folder,
      problem: `the folder of fixtures cannot be read (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`,
      fix: 'give a folder of .json files with .safetensors files of the same names',
      cause,
    });
  });
  return entries
    .filter((entry) => entry.endsWith('.json'))
    .sort()
    .map((entry) => join(folder, entry));
}

/** @throws DataError or CheckpointError if one of its files is damaged */
export async function readFixture(path: string, folder: string): Promise<Fixture> {
  const name = nameOf(path, folder);
  const text = await readFile(path, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DataError({ where: path, problem: `not JSON: ${(cause as Error).message}`, cause });
  }
  const tensorPath = path.replace(/\.json$/, '.safetensors');
  const tensors = (await exists(tensorPath)) ? (await readSafetensors(tensorPath)).tensors : new Map();
  return { name, path, json, tensors };
}

export function nameOf(path: string, folder: string): string {
  return relative(folder, path)
    .replaceAll('\\', '/')
    .replace(/\.json$/, '');
}

/** Tensors of another file that a fixture names, by a path relative to its own. */
export async function readBeside(fixture: Fixture, path: string): Promise<TensorMap> {
  return (await readSafetensors(resolve(dirname(fixture.path), path))).tensors;
}

/** The same where the file may be left out of a subset: undefined then. */
export async function readBesideIfThere(fixture: Fixture, path: string): Promise<TensorMap | undefined> {
  return (await exists(resolve(dirname(fixture.path), path))) ? readBeside(fixture, path) : undefined;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}

/** @throws DataError naming the fixture if the tensor is missing */
export function requireTensor(tensors: TensorMap, name: string, where: string): HostTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) {
    throw new DataError({ where, problem: `there is no tensor ${name} among ${tensors.size}` });
  }
  return tensor;
}

/** Entry `index` of the first axis, sharing memory. */
export function entryOf({ dtype, shape, data }: HostTensor, index: number): HostTensor {
  const rest = shape.slice(1);
  const size = sizeOf(rest);
  const entry = (data as Float32Array).subarray(index * size, (index + 1) * size);
  return hostTensor(dtype as 'f32', rest, entry);
}
