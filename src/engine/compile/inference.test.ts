import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { sourceOf } from '../../core/tensor-source.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { type Graph, graphOf } from '../graph/graph.ts';
import { add, input, mul, parameter } from '../graph/operators.ts';
import type { Tensor, Unlabelled } from '../graph/tensor.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import { loadError } from '../runtime/ort.ts';
import type { Backend } from '../runtime/session.ts';
import { wasmBackend } from '../runtime/wasm-web.ts';
import { type CompileCache, type EntryFolder, UnkeptError } from './cache.ts';
import { DiskCache } from './disk-cache-node.ts';
import { compileInference } from './inference.ts';
import { compileTraining } from './training.ts';

const BATCH = 2;
const KEY = randomKey(0);

const model = createModel(presetSpec('U-DiT-XS', { inputSize: 8, depth: [1, 1, 1, 1, 1], width: 16 }));
const weights = drawWeights(model);
const graph = forwardGraph(model, 'merged');
const feeds: TensorMap = new Map<string, HostTensor>([
  ['x', draw('x', [BATCH, 3, 8, 8])],
  ['t', tensorOf('f32', [BATCH], [0.25, 0.75])],
  ['y', tensorOf('i64', [BATCH], [1, 8])],
]);

function draw(name: string, shape: readonly number[], scale = 1): HostTensor<'f32'> {
  const values = normal(fold(KEY, name), sizeOf(shape)).map((value) => scale * value);
  return hostTensor('f32', shape, values);
}

/** Nothing is zero, so everything counts. */
function drawWeights(denoiser: Denoiser): TensorMap {
  return new Map([...denoiser.parameters()].map(({ name, shape }) => [name, draw(name, shape, 0.2)]));
}

function forwardGraph(denoiser: Denoiser, form: 'merged' | 'branches'): Graph {
  const [x, y] = [input('x', [BATCH, 3, 8, 8]), input('y', [BATCH], 'i64')] as Unlabelled[];
  const t = input('t', [BATCH]) as Unlabelled;
  return graphOf({ out: denoiser.apply(x!, { t, y: y! }, { form }) });
}

/** Counts what compiling costs. */
function counting(): { backend: Backend; counts: { fold: number; optimise: number; load: number } } {
  const counts = { fold: 0, optimise: 0, load: 0 };
  const backend: Backend = {
    ...cpuBackend,
    createSession(loadable, options) {
      counts[options.purpose === 'folding' ? 'fold' : 'load']++;
      return cpuBackend.createSession(loadable, options);
    },
    optimise(...paths) {
      counts.optimise++;
      return cpuBackend.optimise!(...paths);
    },
  };
  return { backend, counts };
}

async function outputOf(...[traced, given, backend, options]: Parameters<typeof compileInference>) {
  const session = await compileInference(traced, given, backend, options);
  const { data } = (await session.run(feeds)).get('out') as HostTensor<'f32'>;
  await session.release();
  return data;
}

const expected = await outputOf(graph, weights, cpuBackend);

describe('folding', () => {
  test('gives what the unfolded graph gives, whose weights are fed', async () => {
    for (const form of ['merged', 'branches'] as const) {
      const session = await compileTraining(forwardGraph(model, form), cpuBackend);
      const { data } = (await session.run(new Map([...feeds, ...weights]))).get('out') as HostTensor<'f32'>;
      await session.release();
      expectClose(expected, data, { relative: 1e-5 });
    }
  });

  test('leaves the weights as they were', async () => {
    const copy = drawWeights(model);
    await outputOf(graph, weights, cpuBackend);
    expect(weights).toEqual(copy);
  });

  test('is the same from a source that is read one tensor at a time, and on WebAssembly', async () => {
    expect(await outputOf(graph, sourceOf(weights), cpuBackend)).toEqual(expected);
    expectClose(await outputOf(graph, weights, wasmBackend), expected, { relative: 1e-5 });
  });
});

test('memory is planned for where few values are alive at once, and never twice for many', async () => {
  const plansFor = async (length: number) => {
    const plans: (boolean | undefined)[] = [];
    const backend: Backend = {
      ...cpuBackend,
      createSession(loadable, options) {
        if (options.purpose === 'inference') plans.push(options.plansMemory);
        return cpuBackend.createSession(loadable, options);
      },
    };
    const doubled = mul(input('x', [length]), parameter('two', [1]));
    const squared = graphOf({ y: add(mul(doubled, doubled), 1) });
    const two = new Map([['two', tensorOf('f32', [1], [2])]]);
    await (await compileInference(squared, two, backend)).release();
    return plans;
  };
  const megabyte = 2 ** 20 / Float32Array.BYTES_PER_ELEMENT;
  // Two values at a time.
  expect(await plansFor(15 * megabyte)).toEqual([true]);
  expect(await plansFor(17 * megabyte)).toEqual([false]);
});

describe('the cache', () => {
  let folder: string;
  let cache: DiskCache;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'udit-compiled-'));
    cache = new DiskCache({ folder, maxBytes: 1e9 });
  });
  afterEach(() => rm(folder, { recursive: true }));

  const entryFiles = async () => {
    const names = await readdir(folder, { recursive: true });
    return { model: join(folder, names.find((name) => name.endsWith('.onnx'))!) };
  };

  test('makes the second start neither fold nor optimise, to the same bits', async () => {
    const first = counting();
    expect(await outputOf(graph, weights, first.backend, { cache })).toEqual(expected);
    expect(first.counts).toMatchObject({ optimise: 1, load: 1 });
    expect(first.counts.fold).toBeGreaterThan(1);
    const second = counting();
    const again = forwardGraph(model, 'merged');
    expect(await outputOf(again, new Map(weights), second.backend, { cache })).toEqual(expected);
    expect(second.counts).toEqual({ fold: 0, optimise: 0, load: 1 });
  });

  test('knows other weights and other graphs apart', async () => {
    await outputOf(graph, weights, cpuBackend, { cache });
    const [name] = weights.keys();
    const changed = new Map(weights).set(name!, draw('another', weights.get(name!)!.shape));
    const { backend, counts } = counting();
    expect(await outputOf(graph, changed, backend, { cache })).not.toEqual(expected);
    expectClose(await outputOf(forwardGraph(model, 'branches'), weights, backend, { cache }), expected, {
      relative: 1e-5,
    });
    expect(counts.optimise).toBe(2);
    expect((await readdir(folder)).length).toBe(3);
  });

  test.each([
    ['in the thread that calls', {}],
    ['in a worker', { workers: 1 }],
  ])('an entry that loses its data while it is looked for is made again, %s', async (_, options) => {
    await outputOf(graph, weights, cpuBackend, { cache });
    const { model: path } = await entryFiles();
    const evicted: Backend = {
      ...cpuBackend,
      async createSession(loadable, options) {
        if ('path' in loadable && loadable.isOptimised && !evictedOnce) {
          evictedOnce = true;
          await rm(dirname(path), { recursive: true });
        }
        return cpuBackend.createSession(loadable, options);
      },
    };
    let evictedOnce = false;
    expect(await outputOf(graph, weights, evicted, { cache, ...options })).toEqual(expected);
    expect(evictedOnce).toBe(true);
  });

  test('programs that compile at once get the same', async () => {
    const outputs = await Promise.all([0, 1, 2].map(() => outputOf(graph, weights, cpuBackend, { cache })));
    for (const output of outputs) expect(output).toEqual(expected);
    expect((await readdir(folder)).length).toBe(1);
  });

  test('that cannot be written is done without, and told', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const onUnkept = vi.fn();
    const blocked = new DiskCache({ folder: join(file, 'below'), maxBytes: 1e9, onUnkept });
    expect(await outputOf(graph, weights, cpuBackend, { cache: blocked })).toEqual(expected);
    expect(String(onUnkept.mock.calls)).toContain('there is a file where a folder is needed');
  });

  test('an entry in which a weight has become zeros is made again', async () => {
    await outputOf(graph, weights, cpuBackend, { cache });
    const { model: path } = await entryFiles();
    const bytes = await readFile(path);
    const places = [...weights.values()].map(({ data }) => {
      const weight = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      return { begin: bytes.indexOf(weight), end: bytes.indexOf(weight) + weight.length };
    });
    const { begin, end } = places.find((place) => place.begin >= 0)!;
    await writeFile(path, Buffer.from(bytes).fill(0, begin, end));
    expect(await outputOf(graph, weights, cpuBackend, { cache })).toEqual(expected);
  });

  test('no other failure to load touches an entry', async () => {
    await outputOf(graph, weights, cpuBackend, { cache });
    const { model: path } = await entryFiles();
    const { mtimeMs } = await stat(path);
    for (const reason of ['std::bad_alloc', 'Failed to allocate memory for requested buffer of size 9']) {
      const starved: Backend = {
        ...cpuBackend,
        createSession: () => Promise.reject(loadError('cpu', new Error(reason))),
      };
      await expect(compileInference(graph, weights, starved, { cache })).rejects.toThrow(reason);
    }
    const broken: Backend = { ...cpuBackend, createSession: () => Promise.reject(new TypeError('a bug')) };
    await expect(compileInference(graph, weights, broken, { cache })).rejects.toThrow('a bug');
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  });

  test('an error of building is thrown, and is no reason to do without', async () => {
    const onUnkept = vi.fn();
    const told = new DiskCache({ folder, maxBytes: 1e9, onUnkept });
    const broken: Backend = { ...cpuBackend, optimise: () => Promise.reject(new TypeError('a bug')) };
    await expect(compileInference(graph, weights, broken, { cache: told })).rejects.toThrow('a bug');
    expect(onUnkept).not.toHaveBeenCalled();
  });

  test('closes its files when the disk is full', async () => {
    const closed: string[] = [];
    const full: CompileCache = {
      find: async () => undefined,
      remove: async () => undefined,
      async keep(_, build) {
        const noSpace = new Error('ENOSPC: no space left on device');
        const folderOf = (): EntryFolder => ({
          path: (name) => name,
          remove: async () => undefined,
          create: async (name) => ({
            write: () => Promise.reject(noSpace),
            close: async () => void closed.push(name),
          }),
        });
        await build(folderOf()).catch((error) => {
          throw new UnkeptError(error);
        });
        throw new Error('the disk is full');
      },
    };
    expect(await outputOf(graph, weights, cpuBackend, { cache: full })).toEqual(expected);
    expect(closed).toEqual(['weights.data']);
  });

  test('that is full is done without, and told', async () => {
    const onUnkept = vi.fn();
    const full = new DiskCache({ folder, maxBytes: 1e9, onUnkept });
    const noSpace = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    const backend: Backend = { ...cpuBackend, optimise: () => Promise.reject(noSpace) };
    expect(await outputOf(graph, weights, backend, { cache: full })).toEqual(expected);
    expect(onUnkept.mock.calls).toEqual([[noSpace]]);
  });

  test('a weight that is missing is still an error, and leaves no entry', async () => {
    const [name] = weights.keys();
    const missing = new Map(weights);
    missing.delete(name!);
    await expect(outputOf(graph, missing, cpuBackend, { cache })).rejects.toThrow(
      `the weights have no value for ${name}`,
    );
    expect(await readdir(folder)).toEqual([]);
  });

  test('is left alone by backends that load no files', async () => {
    expectClose(await outputOf(graph, weights, wasmBackend, { cache }), expected, { relative: 1e-5 });
    expect(await readdir(folder)).toEqual([]);
    await expect(
      wasmBackend.createSession({ path: 'model.onnx', isOptimised: false }, { purpose: 'inference' }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: runtime wasm: it reads no files, but model.onnx is a file
        fix: pass the bytes of the model and of its data]
    `);
  });
});

describe('an output with the name of a leaf is refused before the runtime sees it', () => {
  const x = input('x', [2]);
  test.each([
    ['an input', { x: mul(x, 2) }, 'an output and an input are both named "x"'],
    ['itself', { x }, 'an output and an input are both named "x"'],
    ['a parameter', { w: mul(x, parameter('w', [2])) }, 'an output and a parameter are both named "w"'],
  ])('%s', async (_, outputs, message) => {
    const graph = graphOf(outputs as Readonly<Record<string, Tensor>>);
    const weights = new Map([['w', tensorOf('f32', [2], [1, 2])]]);
    await expect(compileInference(graph, weights, cpuBackend)).rejects.toThrowError(message);
    await expect(compileTraining(graph, cpuBackend)).rejects.toThrowError(message);
  });
});
