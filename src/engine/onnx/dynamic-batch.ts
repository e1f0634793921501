/**
 * @file Models for any batch size. Graphs have fixed shapes. Lowered at several batch sizes, a graph becomes models that
 * differ in shapes and constant int64 vectors only (the targets of Reshape, the bounds of Slice), and each number that
 * differs grows linearly with the batch size. Here such vectors are replaced by their computation from the batch size.
 */
import { create, equals } from '@bufbuild/protobuf';
import { ShapeError } from '../../core/errors.ts';
import { ModelWriter } from './model-writer.ts';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
} from './schema/onnx_pb.ts';

/**
 * Batch sizes to lower a graph at. They are the length of no other axis, so that constants are shared for a reason; two
 * give the straight line that each number lies on, the third shows that it does.
 */
export const TRACED_BATCH_SIZES = [10_007, 10_009, 10_037] as const;

/** The dimension's name in the model's inputs and outputs. */
const BATCH = 'N';
/** The value, an int64 [1], that holds the batch size. */
const BATCH_VALUE = 'batch/size';

/**
 * @param models - the same graph lowered at {@link TRACED_BATCH_SIZES}; the first is changed and returned
 * @throws ShapeError if they differ otherwise
 */
export function withDynamicBatch(models: readonly ModelProto[]): ModelProto {
  const [model] = models as [ModelProto];
  const graphs = models.map(({ graph }) => graph!);
  unifyGraphs(graphs, 'batch/');
  model.graph!.node.unshift(readBatchSize(model.graph!));
  return model;
}

/** N, from the first input that has such an axis. */
function readBatchSize({ input }: GraphProto): NodeProto {
  for (const { name, type } of input) {
    const start = dimensions(type).findIndex(({ value }) => value.case === 'dimParam');
    if (start < 0) continue;
    const writer = new ModelWriter();
    writer.emit('Shape', [name], { start, end: start + 1 }, { output: BATCH_VALUE });
    return create(GraphProtoSchema, writer.toGraph('')).node[0]!;
  }
  throw differ('no input has an axis of the batch size');
}

/** Makes the first graph stand for all. @param prefix - begins the names of what is added */
function unifyGraphs(graphs: readonly GraphProto[], prefix: string): void {
  const [graph] = graphs as [GraphProto];
  for (const list of ['input', 'output'] as const) {
    graph[list].forEach((_, i) => {
      unifyValues(graphs.map((other) => other[list][i]!));
    });
  }
  const added = new ModelWriter({ prefix });
  const vectors = new Map<string, BatchVector>();
  const names = new Map<BatchVector, string>();
  const nameOf = (vector: BatchVector): string => {
    const name = names.get(vector) ?? computed(added, vector);
    names.set(vector, name);
    return name;
  };
  expectSame(graphs.map(({ initializer }) => initializer.length));
  // Their order is that of the weights' first use in any graph, so it is not the same.
  const byName = graphs.map(({ initializer }) => new Map(initializer.map((tensor) => [tensor.name, tensor])));
  for (const { name } of graph.initializer) {
    const vector = unifyInitialisers(byName.map((tensors) => tensors.get(name)));
    if (vector !== undefined) vectors.set(name, vector);
  }
  expectSame(graphs.map(({ node }) => node.length));
  graph.node.forEach((node, i) => {
    unifyNodes(
      graphs.map((other) => other.node[i]!),
      prefix,
    );
    node.input = node.input.map((name, position) => {
      const vector = vectors.get(name);
      if (vector === undefined) return name;
      const isTarget = node.opType === 'Reshape' && position === 1;
      return (isTarget ? inferredTarget(added, vector) : undefined) ?? nameOf(vector);
    });
  });
  graph.initializer = graph.initializer.filter(({ name }) => !vectors.has(name));
  const { node, initializer } = create(GraphProtoSchema, added.toGraph(''));
  graph.node.unshift(...node);
  graph.initializer.push(...initializer);
}

/** base + N · slope, element by element. */
interface BatchVector {
  readonly base: readonly number[];
  readonly slope: readonly number[];
}

function unifyInitialisers(found: readonly (TensorProto | undefined)[]): BatchVector | undefined {
  const tensors = found.filter((tensor) => tensor !== undefined);
  const [tensor] = tensors as [TensorProto];
  if (tensors.length < found.length) throw differ(`not all have the constant ${tensor.name}`);
  if (tensors.every((other) => other.rawData === tensor.rawData || equals(TensorProtoSchema, other, tensor)))
    return undefined;
  const isVector = ({ dataType, dims, rawData }: TensorProto) =>
    dataType === DataType.INT64 && dims.length === 1 && rawData.length === tensor.rawData.length;
  if (!tensors.every(isVector)) {
    throw differ(`the constant ${tensor.name} does, and is no vector of integers`);
  }
  const values = tensors.map(({ rawData }) => integersOf(rawData));
  const lines = values[0]!.map((_, i) => lineThrough(values.map((vector) => vector[i]!)));
  return { base: lines.map(({ base }) => base), slope: lines.map(({ slope }) => slope) };
}

function integersOf(bytes: Uint8Array): number[] {
  return Array.from(new BigInt64Array(bytes.slice().buffer), Number);
}

/** The line through a number's values at the traced batch sizes. */
function lineThrough(values: readonly number[]): { readonly base: number; readonly slope: number } {
  const [first, second] = TRACED_BATCH_SIZES;
  const slope = (values[1]! - values[0]!) / (second - first);
  const base = values[0]! - slope * first;
  const isLine = values.every((value, i) => value === base + slope * TRACED_BATCH_SIZES[i]!);
  if (!isLine || !Number.isInteger(slope)) throw differ(`a constant is ${values.join(', ')}`);
  return { base, slope };
}

/** The target of a Reshape with −1 in place of its only length that varies; undefined where several do. */
function inferredTarget(writer: ModelWriter, { base, slope }: BatchVector): string | undefined {
  if (slope.filter((factor) => factor !== 0).length !== 1) return undefined;
  return writer.integers(base.map((length, i) => (slope[i] === 0 ? length : -1)));
}

function computed(writer: ModelWriter, { base, slope }: BatchVector): string {
  const scaled = writer.emit('Mul', [BATCH_VALUE, writer.integers(slope)]);
  return base.every((value) => value === 0) ? scaled : writer.emit('Add', [scaled, writer.integers(base)]);
}

/** Nodes are the same; bodies of loops are made so. */
function unifyNodes(nodes: readonly NodeProto[], prefix: string): void {
  const [node] = nodes as [NodeProto];
  const bodyAt = node.attribute.findIndex(({ g }) => g !== undefined);
  if (bodyAt < 0) {
    if (!nodes.every((other) => equals(NodeProtoSchema, other, node))) throw differ(`node ${node.name} does`);
    return;
  }
  unifyGraphs(
    nodes.map(({ attribute }) => attribute[bodyAt]!.g!),
    `${prefix}${node.name}/`,
  );
}

function unifyValues(values: readonly ValueInfoProto[]): void {
  dimensions(values[0]!.type).forEach((dimension, axis) => {
    const lengths = values.map(({ type }) => Number(dimensions(type)[axis]!.value.value));
    if (lengths.every((length) => length === lengths[0])) return;
    if (lengths.some((length, i) => length !== TRACED_BATCH_SIZES[i])) {
      throw differ(`an axis of ${values[0]!.name} is ${lengths.join(', ')}`);
    }
    dimension.value = { case: 'dimParam', value: BATCH };
  });
}

function dimensions(type: ValueInfoProto['type']) {
  return type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
}

function expectSame(counts: readonly number[]): void {
  if (counts.some((count) => count !== counts[0])) throw differ(`there are ${counts.join(', ')} of a kind`);
}

function differ(problem: string): ShapeError {
  return new ShapeError({
    where: 'withDynamicBatch',
    problem: `more than a linear function of the batch size differs: ${problem}`,
    fix: 'lower the graph for one batch size',
  });
}
