/**
 * @file Files of `torch.save`, bit for bit against the same numbers in safetensors and JSON. Which of them holds what is
 * found from their content: a training checkpoint with model, ema, opt and args; a state dict of the EMA weights in some
 * element type; or a dictionary of the tensors listed under `exotic`.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { DataError } from '../../src/core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap, toNumbers } from '../../src/core/host-tensor.ts';
import { cast } from '../../src/engine/graph/operators.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { openTorchFile } from '../../src/formats/file-node.ts';
import { floatsToHalves, halvesToFloats } from '../../src/formats/half.ts';
import { PickleBytes, PickleRecord, type PickleValue } from '../../src/formats/pickle.ts';
import type { TorchFile } from '../../src/formats/torch-file.ts';
import { TorchTensor } from '../../src/formats/torch-objects.ts';
import { createModel } from '../../src/networks/registry.ts';
import { type Comparison, compareBits, compareExactly, compareTensors } from './comparison.ts';
import { type Fixture, readBesideIfThere, requireTensor } from './fixture.ts';
import type { Check, CheckResult, FixtureKind } from './kind.ts';
import { specOfReference, weightsOf } from './reference-config.ts';
import { inputsFrom, runGraph } from './run-graph.ts';
import { StatedTolerance } from './tolerance.ts';

const schema = v.object({
  files: v.record(v.string(), v.string()),
  config: v.looseObject({}),
  args: v.record(v.string(), v.unknown()),
  param_groups: v.array(v.unknown()),
  param_order: v.array(v.string()),
  exotic: v.record(v.string(), v.unknown()),
  exotic_nested: v.unknown(),
  tolerance: v.optional(v.string(), 'tensors exact; ema_out 1e-4 abs'),
});
type Json = v.InferOutput<typeof schema>;

export const checkpointFiles: FixtureKind = {
  name: 'checkpoint files',
  recognise(fixture) {
    const parsed = v.safeParse(schema, fixture.json);
    return parsed.success ? checkFiles(fixture, parsed.output) : undefined;
  },
};

function checkFiles(fixture: Fixture, json: Json): Check {
  return async (backend) => {
    const folder = dirname(fixture.path);
    const names = (await readdir(folder)).filter((name) => name.endsWith('.pt')).sort();
    const results: CheckResult[] = [];
    for (const name of names) results.push(await checkFile(join(folder, name), fixture, json, backend));
    const recorded = Object.keys(json.files).flatMap((files) => files.split(' / '));
    const absent = recorded.filter((name) => name.endsWith('.pt') && !names.includes(name));
    return {
      comparisons: results.flatMap(({ comparisons }) => comparisons),
      notCompared: [
        ...results.flatMap(({ notCompared = [] }) => notCompared),
        ...absent.map((name) => `${name} (no such file)`),
      ],
    };
  };
}

async function checkFile(path: string, fixture: Fixture, json: Json, backend: Backend): Promise<CheckResult> {
  const file = await openTorchFile(path);
  const check: FileCheck = { file, name: basename(path), fixture, json, backend };
  try {
    const names = keysOf(file.root);
    if (names.includes('ema')) return await checkTraining(check);
    if (names.every((name) => name in json.exotic)) return await checkExotic(check);
    return await checkStateDict(check);
  } finally {
    await file.close();
  }
}

interface FileCheck {
  readonly file: TorchFile;
  readonly name: string;
  readonly fixture: Fixture;
  readonly json: Json;
  readonly backend: Backend;
}

async function checkTraining(check: FileCheck): Promise<CheckResult> {
  const { file, name, fixture, json } = check;
  const optimizer = entry(file.root, 'opt');
  const moments = new Map<string, PickleValue>();
  for (const index of keysOf(entry(optimizer, 'state'))) {
    const state = entry(entry(optimizer, 'state'), index);
    for (const quantity of keysOf(state)) moments.set(`${index}.${quantity}`, entry(state, quantity));
  }
  const comparisons = [
    compareExactly(`${name} param_order`, keysOf(entry(file.root, 'model')), json.param_order),
    compareExactly(`${name} args`, plain(entry(file.root, 'args')), json.args),
    compareExactly(`${name} param_groups`, plain(entry(optimizer, 'param_groups')), json.param_groups),
  ];
  const notCompared: string[] = [];
  const groups = { model: entry(file.root, 'model'), ema: entry(file.root, 'ema'), opt: moments };
  for (const [group, values] of Object.entries(groups)) {
    const recorded = await readBesideIfThere(fixture, `${group}.safetensors`);
    if (recorded === undefined) notCompared.push(`${name} ${group} (no such file)`);
    else comparisons.push(...compareAllBits(`${name} ${group}`, await readAll(file, values), recorded));
  }
  const weights = await readAll(file, entry(file.root, 'ema'));
  return { comparisons: [...comparisons, ...(await compareOutput(check, weights))], notCompared };
}

/** The EMA weights, in the element type of the file. */
async function checkStateDict({ file, name, fixture, json }: FileCheck): Promise<CheckResult> {
  const order = compareExactly(`${name} order`, keysOf(file.root), json.param_order);
  const ema = await readBesideIfThere(fixture, 'ema.safetensors');
  if (ema === undefined) return { comparisons: [order], notCompared: [`${name} (no ema.safetensors)`] };
  const rounded = new Map(
    [...ema].map(([key, tensor]) => [key, roundedAs(entry(file.root, key), tensor as HostTensor<'f32'>)]),
  );
  return { comparisons: [order, ...compareAllBits(name, await readAll(file, file.root), rounded)] };
}

async function checkExotic({ file, name, json }: FileCheck): Promise<CheckResult> {
  const tensors = await readAll(file, file.root);
  const comparisons = [...tensors].map(([key, tensor]) =>
    compareExactly(`${name} ${key}`, nestedLists(tensor), json.exotic[key]),
  );
  const nested = plain(entry(file.root, 'nested'));
  return { comparisons: [...comparisons, compareExactly(`${name} nested`, nested, json.exotic_nested)] };
}

/** The forward pass of the configured model with weights that were read from the file. */
async function compareOutput(
  { name, fixture, json, backend }: FileCheck,
  weights: TensorMap,
): Promise<Comparison[]> {
  const model = createModel(specOfReference(json.config, fixture.name));
  const leaf = inputsFrom(fixture.tensors, fixture.name);
  const out = model.apply(leaf('x'), { t: cast(leaf('t'), 'f32'), y: leaf('y') });
  const results = await runGraph({ out }, fixture.tensors, backend, weightsOf(model, weights, name));
  const recorded = requireTensor(fixture.tensors, 'ema_out', fixture.name);
  const tolerance = new StatedTolerance(json.tolerance).of('ema_out');
  return [compareTensors(`${name} ema_out`, results.get('out'), recorded, tolerance)];
}

function compareAllBits(where: string, actual: TensorMap, recorded: TensorMap): Comparison[] {
  const names = compareExactly(`${where} names`, [...actual.keys()].sort(), [...recorded.keys()].sort());
  const values = [...recorded].map(([name, tensor]) =>
    compareBits(`${where} ${name}`, actual.get(name), tensor),
  );
  return [names, ...values];
}

// What is in a file

function keysOf(dict: PickleValue): string[] {
  return dict instanceof Map ? [...dict.keys()].map(String) : [];
}

/** Keys may be numbers, as those of an optimizer's state are. */
function entry(dict: PickleValue, key: string): PickleValue {
  const value = dict instanceof Map ? (dict.get(key) ?? dict.get(Number(key))) : undefined;
  if (value === undefined) throw new DataError({ where: key, problem: 'there is no such entry' });
  return value;
}

async function readAll(file: TorchFile, dict: PickleValue): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const key of keysOf(dict)) {
    const value = entry(dict, key);
    if (value instanceof TorchTensor) tensors.set(key, await file.read(value));
  }
  return tensors;
}

/** As JSON has it: tuples and bytes are lists, records are objects. */
function plain(value: PickleValue): unknown {
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (value instanceof PickleRecord) return plain(value.attributes);
  if (value instanceof Uint8Array) return [...value];
  if (value instanceof PickleBytes) return [...value.bytes];
  return Array.isArray(value) ? value.map(plain) : value;
}

/** As `tolist` of PyTorch. */
function nestedLists({ dtype, shape, data }: HostTensor): unknown {
  const values = Array.from(toNumbers({ dtype, shape, data }), (value) =>
    dtype === 'bool' ? value === 1 : value,
  );
  return shape.reduceRight<unknown[]>((items, length, axis) => {
    const count = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    return Array.from({ length: count }, (_, i) => items.slice(i * length, (i + 1) * length));
  }, values)[0];
}

/** float32 values, rounded to the element type that a tensor is stored in. */
function roundedAs(stored: PickleValue, { shape, data }: HostTensor<'f32'>): HostTensor<'f32'> {
  const dtype = stored instanceof TorchTensor ? stored.dtype : undefined;
  if (dtype === 'F16') return hostTensor('f32', shape, halvesToFloats(floatsToHalves(data)));
  if (dtype === 'BF16') return hostTensor('f32', shape, roundToBfloats(data));
  return hostTensor('f32', shape, data);
}

/** To the nearest number with eight significant bits, ties to even. */
function roundToBfloats(values: Float32Array): Float32Array {
  const bits = new Uint32Array(values.slice().buffer);
  for (const [i, value] of bits.entries()) {
    const isOdd = (value >>> 16) & 1;
    bits[i] = ((value + 0x7fff + isOdd) >>> 16) << 16;
  }
  return new Float32Array(bits.buffer);
}
