/**
 * @file What the pickles of PyTorch may name: the functions that rebuild tensors, the containers of state dicts and the
 * records that training scripts keep their arguments in. Nothing else is built, and nothing is run.
 */
import { CheckpointError } from '../core/errors.ts';
import { formatShape, type Shape, sizeOf } from '../core/shape.ts';
import { PickleGlobal, type PickleHost, PickleObject, PickleRecord, type PickleValue } from './pickle.ts';
import type { StoredDType } from './stored-tensor.ts';
import { damaged } from './tensor-file.ts';

/** Values in a file, which several tensors may be views of. */
export class TorchStorage extends PickleObject {
  protected readonly kind = 'storage';
  readonly key: string;
  readonly dtype: StoredDType;
  /** Number of elements. */
  readonly length: number;

  constructor(key: string, dtype: StoredDType, length: number) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.length = length;
  }
}

/** Element (i, j, …) is that at offset + i · strides[0] + j · strides[1] + … of the storage. */
export class TorchTensor extends PickleObject {
  protected readonly kind = 'tensor';
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: Shape;
  readonly strides: readonly number[];

  constructor(storage: TorchStorage, offset: number, shape: Shape, strides: readonly number[]) {
    super();
    this.storage = storage;
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

const STORAGE_DTYPES: Readonly<Record<string, StoredDType>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ByteStorage': 'U8',
  'torch.CharStorage': 'I8',
  'torch.BoolStorage': 'BOOL',
};

const RECORD_CLASSES = ['argparse.Namespace', 'types.SimpleNamespace'];

/** A pickle refers to its storages from outside; several times to the same one. */
export class TorchObjects implements PickleHost {
  readonly storages = new Map<string, TorchStorage>();
  private readonly where: string;
  private readonly globals: ReadonlyMap<string, PickleGlobal>;

  constructor(where: string) {
    this.where = where;
    const functions: Record<string, (args: readonly PickleValue[]) => PickleValue> = {
      'torch._utils._rebuild_tensor_v2': (args) => this.tensor(args),
      'torch._utils._rebuild_tensor': (args) => this.tensor(args),
      'torch._utils._rebuild_parameter': ([tensor = null]) => tensor,
      'torch._utils._rebuild_parameter_with_state': ([tensor = null]) => tensor,
      'torch.Size': ([lengths = null]) => lengths,
      'collections.OrderedDict': (args) => this.orderedDict(args),
      '_codecs.encode': (args) => this.encoded(args),
    };
    for (const name of RECORD_CLASSES) functions[name] = () => new PickleRecord(name);
    this.globals = new Map([
      ...Object.entries(functions).map(([name, call]) => [name, new PickleGlobal(name, call)] as const),
      ...Object.keys(STORAGE_DTYPES).map((name) => [name, new PickleGlobal(name)] as const),
    ]);
  }

  global(name: string): PickleGlobal {
    const known = this.globals.get(name);
    if (known !== undefined) return known;
    if (/^torch\.\w+Storage$/.test(name)) {
      const types = Object.keys(STORAGE_DTYPES).map((type) => type.slice('torch.'.length));
      throw new CheckpointError({
        where: this.where,
        problem: `it has tensors of ${name}, which are not read`,
        fix: `convert them in PyTorch to one of ${types.join(', ')}`,
      });
    }
    throw new CheckpointError({
      where: this.where,
      problem: `its pickle asks for ${shortened(name)}, which is refused: through such names a file can run any program`,
      fix: 'where you trust the file, load it in PyTorch and save its weights alone, as in torch.save(checkpoint["ema"], path)',
    });
  }

  /** ('storage', type, key, device, length), and in files before PyTorch 1.6 what it is a view of. */
  persistent(id: PickleValue): TorchStorage {
    const [tag, type, key, , length, view = null] = Array.isArray(id) ? id : [];
    const dtype = type instanceof PickleGlobal ? STORAGE_DTYPES[type.name] : undefined;
    if (tag !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(length)) {
      throw damaged(this.where, 'what it says of a storage is no (type, key, device, length)');
    }
    if (view !== null) {
      throw new CheckpointError({
        where: this.where,
        problem: `storage ${key} is a view of another one, as PyTorch wrote them before version 0.4`,
        fix: 'load and save it in a newer PyTorch',
      });
    }
    const known = this.storages.get(key) ?? new TorchStorage(key, dtype, length);
    if (known.dtype !== dtype || known.length !== length) {
      throw damaged(
        this.where,
        `storage ${key} has ${known.length} elements of ${known.dtype} in one place, ${length} of ${dtype} in another`,
      );
    }
    this.storages.set(key, known);
    return known;
  }

  /** (storage, offset, shape, strides, requires_grad, hooks, metadata) */
  private tensor([
    storage,
    offset,
    shape,
    strides,
    ,
    ,
    metadata = null,
  ]: readonly PickleValue[]): TorchTensor {
    if (
      !(storage instanceof TorchStorage) ||
      !isCount(offset) ||
      !isCounts(shape) ||
      !isCounts(strides) ||
      shape.length !== strides.length
    ) {
      throw damaged(this.where, 'what it says of a tensor is no (storage, offset, shape, strides)');
    }
    if (metadata instanceof Map && metadata.size > 0) {
      throw new CheckpointError({
        where: this.where,
        problem: `a tensor of storage ${storage.key} is stored negated or conjugated`,
        fix: 'save it with tensor.resolve_neg().resolve_conj()',
      });
    }
    // Copies: a pickle may go on changing the lists that it made a tensor from.
    const tensor = new TorchTensor(storage, offset, [...shape], [...strides]);
    if (!(offset + tensor.span <= storage.length)) {
      throw damaged(
        this.where,
        `a tensor ${formatShape(shape)} with strides ${formatShape(strides)} from element ${offset} ` +
          `leaves storage ${storage.key} of ${storage.length} elements`,
      );
    }
    return tensor;
  }

  private orderedDict([pairs = []]: readonly PickleValue[]): PickleValue {
    if (!Array.isArray(pairs) || !pairs.every((pair) => Array.isArray(pair) && pair.length === 2)) {
      throw damaged(this.where, 'an OrderedDict is made of what are no pairs');
    }
    return new Map(pairs as [PickleValue, PickleValue][]);
  }

  /** How protocol 2 writes bytes: as text, to be encoded. */
  private encoded([text, encoding]: readonly PickleValue[]): Uint8Array {
    if (typeof text !== 'string' || encoding !== 'latin1') {
      throw damaged(this.where, 'bytes are written in a way that Python does not');
    }
    return Uint8Array.from(text, (char) => char.charCodeAt(0));
  }
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

const LONGEST_NAME = 80;

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name;
}
