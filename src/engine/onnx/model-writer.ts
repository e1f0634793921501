/** @file Assembles an ONNX model: nodes, initialisers, inputs and outputs, and its serialised bytes. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BYTES_PER_ELEMENT, type DType } from '../../core/dtype.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type TypeProto_Tensor,
  type ValueInfoProto,
  type ValueInfoProtoSchema,
} from './schema/onnx_pb.ts';

/** Attribute values by kind: a float must say that it is one, since JavaScript cannot tell 1 from 1.0. */
export type Attribute =
  | number
  | readonly number[]
  | string
  | { readonly float: number }
  /** The body of a loop: another writer's nodes, which may read values of the graph around them. */
  | { readonly graph: ModelWriter };
export type Attributes = Readonly<Record<string, Attribute>>;

/** Operator sets beside the standard one. `com.microsoft.nchwc` is ONNX Runtime's internal blocked layout. */
export type Domain = '' | 'com.microsoft' | 'com.microsoft.nchwc';

/** Of the file format, by opset: the newest that runtimes of its time read. */
const irVersionOf = (opset: number): number => (opset < 21 ? 8 : 10);

export const DATA_TYPES: Readonly<Record<DType, DataType>> = {
  f32: DataType.FLOAT,
  f64: DataType.DOUBLE,
  i32: DataType.INT32,
  i64: DataType.INT64,
  u8: DataType.UINT8,
  i8: DataType.INT8,
  bool: DataType.BOOL,
};

/** An initialiser whose values lie in a file beside the model (ONNX external data), and where in it. */
export interface ExternalTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** In bytes, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A model and the layout of its data file, whose values are still to be computed. */
export interface ModelInParts {
  readonly proto: ModelProto;
  readonly external: readonly ExternalTensor[];
  /** Length in bytes of the data file. */
  readonly dataLength: number;
}

/** Tensors begin where a page of memory does, so that a runtime can map each of them. */
const PAGE_BYTES = 4096;

export interface WriterOptions {
  /** Begins all names that are made here: those in a loop's body differ from those around it. */
  readonly prefix?: string;
  /** Version of the standard operators; all others are of version 1. */
  readonly opset?: number;
}

export class ModelWriter {
  /** What {@link addExternalInitialiser} has laid out, in the order of the file. */
  readonly external: ExternalTensor[] = [];
  private readonly nodes: MessageInitShape<typeof NodeProtoSchema>[] = [];
  private readonly initialisers: MessageInitShape<typeof TensorProtoSchema>[] = [];
  private readonly inputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  private readonly outputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  private readonly domains = new Set<Domain>(['']);
  private readonly constants = new Map<string, string>();
  private valueCount = 0;
  private constantCount = 0;
  private readonly prefix: string;
  private readonly opset: number;

  constructor({ prefix = '', opset = 23 }: WriterOptions = {}) {
    this.prefix = prefix;
    this.opset = opset;
  }

  addInput(name: string, dtype: DType, shape: Shape): void {
    this.inputs.push(valueInfo(name, dtype, shape));
  }

  addOutput(name: string, dtype: DType, shape: Shape): void {
    this.outputs.push(valueInfo(name, dtype, shape));
  }

  addInitialiser(name: string, { dtype, shape, data }: HostTensor): void {
    this.initialisers.push({
      name,
      dataType: DATA_TYPES[dtype],
      dims: shape.map(BigInt),
      rawData: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
    });
  }

  /**
   * An initialiser whose values need not be known yet: a place for them is laid out in `file`, which lies beside the
   * model. What is between tensors there is never read.
   */
  addExternalInitialiser(name: string, dtype: DType, shape: Shape, file: string): void {
    const offset = Math.ceil(this.dataLength / PAGE_BYTES) * PAGE_BYTES;
    const byteLength = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
    this.external.push({ name, dtype, shape, offset, byteLength });
    const place = { location: file, offset: String(offset), length: String(byteLength) };
    this.initialisers.push({
      name,
      dataType: DATA_TYPES[dtype],
      dims: shape.map(BigInt),
      dataLocation: DataLocation.EXTERNAL,
      externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
    });
  }

  /** Length in bytes of the file that external initialisers lie in. */
  get dataLength(): number {
    const last = this.external.at(-1);
    return last === undefined ? 0 : last.offset + last.byteLength;
  }

  /** The name of an initialiser holding these values; equal small constants share one. */
  constant(value: HostTensor): string {
    const key = value.data.length <= 64 ? `${value.dtype} ${value.shape} ${value.data}` : undefined;
    const known = key === undefined ? undefined : this.constants.get(key);
    if (known !== undefined) return known;
    const name = `${this.prefix}constant_${this.constantCount++}`;
    this.addInitialiser(name, value);
    if (key !== undefined) this.constants.set(key, name);
    return name;
  }

  /** An int64 vector constant, the form in which ONNX takes shapes, axes and ranges. */
  integers(values: readonly number[]): string {
    return this.constant(tensorOf('i64', [values.length], values));
  }

  /** Adds a node with one output and returns the output's name. */
  emit(
    opType: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    options: EmitOptions = {},
  ): string {
    return this.emitMany(opType, inputs, 1, attributes, options)[0]!;
  }

  /** Adds a node with several outputs. */
  emitMany(
    opType: string,
    inputs: readonly string[],
    outputCount: number,
    attributes: Attributes = {},
    { domain = '', scope = '', output }: EmitOptions = {},
  ): string[] {
    this.domains.add(domain);
    for (const value of Object.values(attributes)) if (isBody(value)) this.addDomainsOf(value.graph);
    const outputs =
      output === undefined
        ? Array.from({ length: outputCount }, () => `${this.prefix}v${this.valueCount++}`)
        : [output];
    this.nodes.push({
      name: `${this.prefix}${scope}/${opType}_${this.nodes.length}`,
      opType,
      domain,
      input: [...inputs],
      output: outputs,
      attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    });
    return outputs;
  }

  get nodeCount(): number {
    return this.nodes.length;
  }

  toBytes(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    return serialiseModel(this.toParts(metadata).proto);
  }

  /** @param body - the writer of a loop's body, where the external initialisers are its */
  toParts(metadata: Readonly<Record<string, string>> = {}, body?: ModelWriter): ModelInParts {
    const { external, dataLength } = body ?? this;
    const proto = create(ModelProtoSchema, {
      irVersion: BigInt(irVersionOf(this.opset)),
      producerName: 'udit',
      opsetImport: [...this.domains].map((domain) => ({
        domain,
        version: BigInt(domain === '' ? this.opset : 1),
      })),
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: this.toGraph('udit'),
    });
    return { proto, external, dataLength };
  }

  /** What has been written so far, as the graph of a model or the body of a loop. */
  toGraph(name: string): MessageInitShape<typeof GraphProtoSchema> {
    return {
      name,
      node: this.nodes,
      initializer: this.initialisers,
      input: this.inputs,
      output: this.outputs,
    };
  }

  private addDomainsOf({ domains }: ModelWriter): void {
    for (const domain of domains) this.domains.add(domain);
  }
}

/** An input or output of a model; a length that is free has a name. */
export interface ModelValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string)[];
}

export function modelValues({ graph }: ModelProto): Readonly<Record<'inputs' | 'outputs', ModelValue[]>> {
  return { inputs: graph!.input.map(modelValue), outputs: graph!.output.map(modelValue) };
}

function modelValue({ name, type }: ValueInfoProto): ModelValue {
  const { elemType, shape } = type!.value.value as TypeProto_Tensor;
  const [dtype] = Object.entries(DATA_TYPES).find(([, code]) => code === elemType)! as [DType, DataType];
  const lengths = shape!.dim.map(({ value }) =>
    value.case === 'dimParam' ? value.value : Number(value.value),
  );
  return { name, dtype, shape: lengths };
}

export function serialiseModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

const isBody = (value: Attribute): value is { readonly graph: ModelWriter } =>
  typeof value === 'object' && 'graph' in value;

export interface EmitOptions {
  readonly domain?: Domain;
  /** Module path, for profiles. */
  readonly scope?: string;
  /** Name of the single output, where it is an output of the model. */
  readonly output?: string;
}

function valueInfo(name: string, dtype: DType, shape: Shape): MessageInitShape<typeof ValueInfoProtoSchema> {
  return {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: DATA_TYPES[dtype],
          shape: {
            dim: shape.map((length) => ({ value: { case: 'dimValue' as const, value: BigInt(length) } })),
          },
        },
      },
    },
  };
}

function attributeProto(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: BigInt(value) };
  if (typeof value === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (isBody(value)) return { name, type: AttributeType.GRAPH, g: value.graph.toGraph('body') };
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: value.map(BigInt) };
}
