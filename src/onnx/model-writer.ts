/** @file Assembles an ONNX model: nodes, initialisers, inputs and outputs, and its serialised bytes. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BYTES_PER_ELEMENT, type DType } from '../core/dtype.ts';
import { type HostTensor, tensorOf } from '../core/host-tensor.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from './schema/onnx_pb.ts';

/** Attribute values by kind: a float must say that it is one, since JavaScript cannot tell 1 from 1.0. */
export type Attribute = number | readonly number[] | string | { readonly float: number };
export type Attributes = Readonly<Record<string, Attribute>>;

/** Operator sets beside the standard one. `com.microsoft.nchwc` is ONNX Runtime's internal blocked layout. */
export type Domain = '' | 'com.microsoft' | 'com.microsoft.nchwc';

/** Opset 23 brings `Attention`; IR 10 is the newest that every supported runtime reads. */
const OPSET_VERSION: Readonly<Record<Domain, number>> = {
  '': 23,
  'com.microsoft': 1,
  'com.microsoft.nchwc': 1,
};
const IR_VERSION = 10;

const DATA_TYPES: Readonly<Record<DType, DataType>> = {
  f32: DataType.FLOAT,
  f64: DataType.DOUBLE,
  i32: DataType.INT32,
  i64: DataType.INT64,
  u8: DataType.UINT8,
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

/** Tensors begin where a page of memory does, so that a runtime can map each of them. */
const PAGE_BYTES = 4096;

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
    const name = `constant_${this.initialisers.length}`;
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
    const outputs =
      output === undefined ? Array.from({ length: outputCount }, () => `v${this.valueCount++}`) : [output];
    this.nodes.push({
      name: `${scope}/${opType}_${this.nodes.length}`,
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
    const model = create(ModelProtoSchema, {
      irVersion: BigInt(IR_VERSION),
      producerName: 'udit',
      opsetImport: [...this.domains].map((domain) => ({ domain, version: BigInt(OPSET_VERSION[domain]) })),
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name: 'udit',
        node: this.nodes,
        initializer: this.initialisers,
        input: this.inputs,
        output: this.outputs,
      },
    });
    return toBinary(ModelProtoSchema, model);
  }
}

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
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: value.map(BigInt) };
}
