/**
 * @file The inference compiler: from a graph and the weights it reads to a session. What depends on weights alone is
 * computed once, out of place, and the rest is specialised to it. With a cache the outcome is kept as the runtime has
 * optimised it for this machine, so that the next start neither folds nor optimises.
 */
import type { TensorMap } from '../../core/host-tensor.ts';
import { sourceOf, type TensorSource } from '../../core/tensor-source.ts';
import { expectDistinctNames, type Graph, leavesOf } from '../graph/graph.ts';
import { peakLiveBytes } from '../graph/liveness.ts';
import { simplify, splitFoldable } from '../graph/rewrite.ts';
import { specialise } from '../graph/specialise.ts';
import { type LoweredModel, lowerGraph } from '../onnx/lower.ts';
import type { ExternalTensor } from '../onnx/model-writer.ts';
import { type Backend, type LoadableModel, ModelRefusedError, type Session } from '../runtime/session.ts';
import { type CompileCache, ENTRY_FILE, type EntryFolder, type FileSink, UnkeptError } from './cache.ts';
import { foldWeights, readWeight, type TakeValue } from './fold.ts';
import { loadWhole } from './missing-kernels.ts';
import { modelKey } from './model-key.ts';
import type { CompileOptions } from './training.ts';

export interface InferenceOptions extends CompileOptions {
  /** Where compiled models are kept; by default nowhere. */
  readonly cache?: CompileCache | undefined;
}

/**
 * The weights are read one at a time, more than once, and not changed.
 *
 *     const graph = graphOf({ y: mul(input('x', [2]), parameter('weight', [2])) });
 *     const session = await compileInference(graph, new Map([['weight', tensorOf('f32', [2], [3, 4])]]), cpuBackend);
 *     console.log(await session.run(new Map([['x', tensorOf('f32', [2], [1, 2])]])));
 *
 * @throws CheckpointError if a weight is missing or misshapen
 */
export async function compileInference(
  graph: Graph,
  weights: TensorMap | TensorSource,
  backend: Backend,
  { cache, ...options }: InferenceOptions = {},
): Promise<Session> {
  backend.start?.(options.threads);
  const source = 'infos' in weights ? weights : sourceOf(weights);
  const program = await lowerForInference(graph, backend);
  const plansMemory = peakLiveBytes(program.rest) <= PLANNED_BYTES;
  const load = (model: LoadableModel) =>
    backend.createSession(model, { ...options, purpose: 'inference', plansMemory });
  if (cache === undefined || backend.optimise === undefined) {
    const model = await buildInMemory(program, source, backend);
    return loadWhole(program.rest, backend, () => load(model));
  }

  const key = await programKey(program, source, backend);
  const build = async ({ isDamaged }: { readonly isDamaged: boolean }): Promise<LoadableModel> => {
    try {
      if (isDamaged) await cache.remove(key);
      return await cache.keep(key, (folder) => buildOnDisk(program, source, backend, folder));
    } catch (error) {
      if (!(error instanceof UnkeptError)) throw error;
      cache.onUnkept?.(error.cause);
      return buildInMemory(program, source, backend); // a full disk is no reason not to compute
    }
  };
  const kept = await cache.find(key);
  if (kept === undefined) return load(await build({ isDamaged: false }));
  try {
    return await load(kept);
  } catch (error) {
    // As it was written, but not to be read. A lack of memory, or of threads, says nothing about the entry.
    if (!(error instanceof ModelRefusedError)) throw error;
    return load(await build({ isDamaged: true }));
  }
}

/** A plan for the values of larger models saves no time, and their memory would be taken twice (LOG.md). */
const PLANNED_BYTES = 32 * 1024 * 1024;

/** Half of the second-level cache of the processor that it was measured on (LOG.md). */
const GROUP_BYTES = 512 * 1024;

/** How a network is to be traced that runs on a backend: a CPU takes the images of a batch in groups that fit its cache. */
export async function groupingFor(backend: Backend): Promise<{ readonly groupBytes?: number }> {
  const { device } = await backend.features();
  return device === 'cpu' ? { groupBytes: GROUP_BYTES } : {};
}

/** A model without the values of its weights, and how they are computed. */
interface Program {
  readonly model: LoweredModel;
  /** By the names under which the model knows its outputs as parameters. */
  readonly folded: Graph;
  /** What the model computes of them and of its inputs. */
  readonly rest: Graph;
}

const DATA_FILE = 'weights.data';

async function lowerForInference(graph: Graph, backend: Backend): Promise<Program> {
  const { folded, rest } = splitForInference(graph);
  const features = await backend.features();
  return { folded, rest, model: lowerGraph(rest, { features, weights: { dataFile: DATA_FILE } }) };
}

/** What of a graph depends on weights alone, and the rest, which reads the values of that as parameters. */
export function splitForInference(graph: Graph): { readonly folded: Graph; readonly rest: Graph } {
  expectDistinctNames(graph);
  const { folded, rest } = splitFoldable(simplify(specialise(graph)));
  return { folded, rest: simplify(rest) };
}

async function programKey({ model, folded }: Program, weights: TensorSource, backend: Backend) {
  const features = await backend.features();
  const folding = lowerGraph(folded, { features }).bytes;
  const leaves = leavesOf(folded, 'parameter').map(({ params: { name }, shape }) => ({ name, shape }));
  const read = new Map(
    [...leaves, ...model.external.filter(({ name }) => !folded.has(name))].map((leaf) => [leaf.name, leaf]),
  );
  return modelKey([backend.name, backend.version, model.bytes, folding], weights, read.values());
}

/** Takes the bytes of a tensor for the place in the data file that is meant for them. */
export type WriteWeight = (bytes: Uint8Array, tensor: ExternalTensor) => Promise<void> | void;

/** The weights of a lowered model, one at a time: those that are folded, and the others as they are. */
export async function computeWeights(
  external: readonly ExternalTensor[],
  folded: Graph,
  weights: TensorSource,
  backend: Backend,
  write: WriteWeight,
): Promise<void> {
  const places = new Map(external.map((tensor) => [tensor.name, tensor]));
  const take: TakeValue = (name, { data }) =>
    write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), places.get(name)!);
  await foldWeights(folded, weights, backend.foldsOn ?? backend, take);
  for (const tensor of external) {
    if (!folded.has(tensor.name)) await take(tensor.name, await readWeight(weights, tensor));
  }
}

async function buildInMemory(
  program: Program,
  weights: TensorSource,
  backend: Backend,
): Promise<LoadableModel> {
  const { bytes, external, dataLength } = program.model;
  if (external.length === 0) return { bytes };
  const data = new Uint8Array(dataLength);
  await computeWeights(external, program.folded, weights, backend, (part, { offset }) =>
    data.set(part, offset),
  );
  return { bytes, data: { name: DATA_FILE, bytes: data } };
}

const UNOPTIMISED_FILE = 'unoptimised.onnx';

async function buildOnDisk(
  program: Program,
  weights: TensorSource,
  backend: Backend,
  folder: EntryFolder,
): Promise<void> {
  const { bytes, external, dataLength } = program.model;
  await fill(folder, DATA_FILE, dataLength, (data) =>
    computeWeights(external, program.folded, weights, backend, (part, { offset }) =>
      data.write(part, offset),
    ),
  );
  await fill(folder, UNOPTIMISED_FILE, bytes.byteLength, (model) => model.write(bytes, 0));
  await backend.optimise!(folder.path(UNOPTIMISED_FILE), folder.path(ENTRY_FILE));
  await folder.remove(UNOPTIMISED_FILE);
  await folder.remove(DATA_FILE);
}

/** The file is closed however it ends: a disk may be full. */
async function fill(
  folder: EntryFolder,
  name: string,
  byteLength: number,
  write: (file: FileSink) => Promise<void>,
): Promise<void> {
  const file = await folder.create(name, byteLength);
  try {
    await write(file);
  } finally {
    await file.close();
  }
}
