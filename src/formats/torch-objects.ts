/**
 * @file What the pickles of PyTorch may name: the functions that rebuild tensors, and the containers of state dicts. Of
 * everything else nothing is built but its name, and nothing is run.
 */
import { CheckpointError } from '../core/errors.ts';
import { formatShape, type Shape, sizeOf } from '../core/shape.ts';
import { PickleGlobal, type PickleHost, PickleObject, PickleRecord, type PickleValue } from './pickle.ts';
import { modernName, PYTHON_FUNCTIONS, runsPrograms } from './python-objects.ts';
import { STORED_BYTES, type StoredDType } from './stored-tensor.ts';
import { damaged } from './tensor-file.ts';

/** Values in a file, which several tensors may be views of. */
export class TorchStorage extends PickleObject {
  protected readonly kind = 'storage';
  readonly key: string;
  /** Its type, as PyTorch calls it. */
  readonly type: string;
  /** Number of elements. */
  readonly length: number;

  constructor(key: string, type: string, length: number) {
    super();
    this.key = key;
    this.type = type;
    this.length = length;
  }

  get bytes(): number {
    return this.length * ELEMENT_TYPES[this.type]!.bytes;
  }
}

/** Element (i, j, …) is that at offset + i · strides[0] + j · strides[1] + … of the storage. */
export class TorchTensor extends PickleObject {
  protected readonly kind = 'tensor';
  readonly storage: TorchStorage;
  readonly dtype: StoredDType;
  readonly offset: number;
  readonly shape: Shape;
  readonly strides: readonly number[];

  constructor(
    storage: TorchStorage,
    dtype: StoredDType,
    { offset, shape, strides }: { offset: number; shape: Shape; strides: readonly number[] },
  ) {
    super();
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }

  /** Elements of the storage from the first to the last that belongs to the tensor. */
  get span(): number {
    if (sizeOf(this.shape) === 0) return 0;
    return 1 + this.shape.reduce((last, length, axis) => last + (length - 1) * this.strides[axis]!, 0);
  }
}

/** A tensor that no array holds. The file can be read as long as nobody needs it. */
export class UnreadableTensor extends PickleObject {
  protected readonly kind = 'unreadable tensor';
  /** Goes on a sentence that began with the tensor. */
  readonly reason: string;

  constructor(reason: string) {
    super();
    this.reason = reason;
  }
}

interface ElementType {
  readonly bytes: number;
  /** Undefined where elements are no plain numbers. */
  readonly dtype?: StoredDType;
}

const stored = (dtype: StoredDType): ElementType => ({ dtype, bytes: STORED_BYTES[dtype] });

/** Element types by their names after `torch.`. */
const ELEMENT_TYPES: Readonly<Record<string, ElementType>> = {
  float64: stored('F64'),
  float32: stored('F32'),
  float16: stored('F16'),
  bfloat16: stored('BF16'),
  float8_e4m3fn: stored('F8_E4M3'),
  float8_e5m2: stored('F8_E5M2'),
  float8_e8m0fnu: stored('F8_E8M0'),
  int64: stored('I64'),
  int32: stored('I32'),
  int16: stored('I16'),
  int8: stored('I8'),
  uint64: stored('U64'),
  uint32: stored('U32'),
  uint16: stored('U16'),
  uint8: stored('U8'),
  bool: stored('BOOL'),
  complex32: { bytes: 4 },
  complex64: { bytes: 8 },
  complex128: { bytes: 16 },
  qint32: { bytes: 4 },
  qint8: { bytes: 1 },
  quint8: { bytes: 1 },
  quint4x2: { bytes: 1 },
  quint2x4: { bytes: 1 },
};

/** Storages by their names after `torch.` or `torch.storage.`; an untyped one has bytes. */
const STORAGE_TYPES: Readonly<Record<string, string>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  UntypedStorage: 'uint8',
  _UntypedStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexDoubleStorage: 'complex128',
  ComplexFloatStorage: 'complex64',
  QInt32Storage: 'qint32',
  QInt8Storage: 'qint8',
  QUInt8Storage: 'quint8',
  QUInt4x2Storage: 'quint4x2',
  QUInt2x4Storage: 'quint2x4',
};

const STORAGE_NAME = /^torch\.(?:cuda\.|storage\.)?(\w+Storage)$/;

/** What PyTorch itself allows; more only costs time. */
const MAX_AXES = 64;

/** A pickle refers to its storages from outside; several times to the same one. */
export class TorchObjects implements PickleHost {
  readonly storages = new Map<string, TorchStorage>();
  /** Names of classes and functions of whose results nothing is known. */
  readonly passedOver = new Set<string>();
  private readonly where: string;
  private readonly globals: ReadonlyMap<string, PickleGlobal>;

  constructor(where: string) {
    this.where = where;
    const functions: Record<string, (args: readonly PickleValue[]) => PickleValue> = {
      ...PYTHON_FUNCTIONS,
      'torch.Size': ([lengths = null]) => lengths,
      'torch._utils._rebuild_tensor': ([storage = null, ...layout]) => this.tensor(storage, layout),
      'torch._utils._rebuild_tensor_v2': ([
        storage = null,
        offset = null,
        shape = null,
        strides = null,
        ,
        ,
        flags = null,
      ]) => this.tensor(storage, [offset, shape, strides], flags),
      'torch._utils._rebuild_tensor_v3': ([
        storage = null,
        offset = null,
        shape = null,
        strides = null,
        ,
        ,
        dtype = null,
        flags = null,
      ]) => this.tensor(storage, [offset, shape, strides], flags, dtype),
      'torch._utils._rebuild_parameter': ([tensor = null]) => tensor,
      'torch._utils._rebuild_parameter_with_state': ([tensor = null]) => tensor,
      'torch._utils._rebuild_device_tensor_from_cpu_tensor': ([tensor = null]) => tensor,
      // The class of a tensor, and attributes that were set on it in Python.
      'torch._tensor._rebuild_from_type': ([rebuild = null, , args = null]) => this.rebuilt(rebuild, args),
      'torch._tensor._rebuild_from_type_v2': ([rebuild = null, , args = null]) => this.rebuilt(rebuild, args),
      'torch._utils._rebuild_sparse_tensor': () => new UnreadableTensor('is sparse: store tensor.to_dense()'),
      'torch._utils._rebuild_nested_tensor': () => new UnreadableTensor('is nested: store its parts'),
      'torch._utils._rebuild_qtensor': () => new UnreadableTensor('is quantised: store tensor.dequantize()'),
      'torch._utils._rebuild_meta_tensor_no_storage': () =>
        new UnreadableTensor('was on the device "meta", where tensors have no values'),
    };
    this.globals = new Map(
      Object.entries(functions).map(([name, call]) => [name, new PickleGlobal(name, call)]),
    );
  }

  global(pythonName: string): PickleGlobal {
    const name = modernName(pythonName);
    return this.globals.get(name) ?? new PickleGlobal(name, () => this.unknown(name));
  }

  private unknown(name: string): PickleRecord | UnreadableTensor {
    if (runsPrograms(name)) {
      throw new CheckpointError({
        where: this.where,
        problem: `its pickle asks for ${shortened(name)}, which is refused: through such names a file can run any program`,
        fix: 'where you trust the file, load it in PyTorch and save its weights alone, as in torch.save(checkpoint["ema"], path)',
      });
    }
    if (/^torch\._(utils|tensor)\._rebuild_/.test(name)) {
      return new UnreadableTensor(`is rebuilt by ${shortened(name)}, which is not known`);
    }
    this.passedOver.add(shortened(name));
    return new PickleRecord(shortened(name));
  }

  /** ('storage', type, key, device, length), and in files before PyTorch 1.6 what it is a view of. */
  persistent(id: PickleValue): TorchStorage {
    const [tag, type, key, , length, view = null] = Array.isArray(id) ? id : this.writtenId(id);
    const name = type instanceof PickleGlobal ? type.name : type;
    const storageType = typeof name === 'string' ? STORAGE_NAME.exec(name)?.[1] : undefined;
    if (tag !== 'storage' || storageType === undefined || typeof key !== 'string' || !isCount(length)) {
      throw damaged(this.where, 'what it says of a storage is no (type, key, device, length)');
    }
    if (view !== null) {
      throw new CheckpointError({
        where: this.where,
        problem: `storage ${key} is a view of another one, as PyTorch wrote them before version 0.4`,
        fix: 'load and save it in a newer PyTorch',
      });
    }
    const elementType = Object.hasOwn(STORAGE_TYPES, storageType) ? STORAGE_TYPES[storageType]! : undefined;
    if (elementType === undefined) {
      throw new CheckpointError({
        where: this.where,
        problem: `it has a storage of ${shortened(storageType)}, whose element size is unknown`,
        fix: 'load it in PyTorch and save its weights alone',
      });
    }
    const known = this.storages.get(key) ?? new TorchStorage(key, elementType, length);
    if (known.type !== elementType || known.length !== length) {
      throw damaged(
        this.where,
        `storage ${key} has ${known.length} elements of ${known.type} in one place, ${length} of ${elementType} in another`,
      );
    }
    this.storages.set(key, known);
    return known;
  }

  /** Protocol 0 has no tuples outside itself: what Python prints of them stands for them. */
  private writtenId(id: PickleValue): PickleValue[] {
    const written = typeof id === 'string' ? WRITTEN_ID.exec(id) : null;
    if (written === null) return [];
    const [, type, key, device, length] = written as unknown as [string, string, string, string, string];
    return ['storage', type, key, device, Number(length)];
  }

  private rebuilt(rebuild: PickleValue, args: PickleValue): PickleValue {
    const isNested =
      rebuild instanceof PickleGlobal && rebuild.name.startsWith('torch._tensor._rebuild_from_type');
    if (
      !(rebuild instanceof PickleGlobal) ||
      isNested ||
      rebuild.call === undefined ||
      !Array.isArray(args)
    ) {
      throw damaged(this.where, 'what it says of a tensor of a class is no (function, class, arguments)');
    }
    return rebuild.call(args);
  }

  private tensor(
    storage: PickleValue,
    layout: readonly PickleValue[],
    flags: PickleValue = null,
    dtype: PickleValue = null,
  ): TorchTensor | UnreadableTensor {
    const [offset, shape, strides] = layout;
    if (
      !(storage instanceof TorchStorage) ||
      !isCount(offset) ||
      !isCounts(shape) ||
      !isCounts(strides) ||
      shape.length !== strides.length
    ) {
      throw damaged(this.where, 'what it says of a tensor is no (storage, offset, shape, strides)');
    }
    if (flags instanceof Map && [...flags.values()].includes(true)) {
      return new UnreadableTensor(
        'is stored negated or conjugated: store tensor.resolve_neg().resolve_conj()',
      );
    }
    const typeName = dtype instanceof PickleGlobal ? dtype.name.replace(/^torch\./, '') : storage.type;
    const type = Object.hasOwn(ELEMENT_TYPES, typeName) ? ELEMENT_TYPES[typeName] : undefined;
    if (type?.dtype === undefined)
      return new UnreadableTensor(`is of ${shortened(typeName)}: store it as float32`);
    // Copies: a pickle may go on changing the lists that it made a tensor from.
    const tensor = new TorchTensor(storage, type.dtype, { offset, shape: [...shape], strides: [...strides] });
    if (!((offset + tensor.span) * type.bytes <= storage.bytes)) {
      throw damaged(
        this.where,
        `a tensor ${formatShape(shape)} with strides ${formatShape(strides)} from element ${offset} ` +
          `leaves storage ${storage.key} of ${storage.bytes / type.bytes} elements`,
      );
    }
    return tensor;
  }
}

const WRITTEN_ID = /^\('storage', <class '([\w.]+)'>, '([^']*)', '([^']*)', (\d{1,15})(?:, None)?\)$/;

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_AXES && value.every(isCount);
}

const LONGEST_NAME = 80;

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name;
}
