/** @file Arrays of Python objects as `np.save` writes them: a header, then a pickle that makes arrays and numbers of NumPy. */
import { DataError } from '../core/errors.ts';
import type { HostTensor } from '../core/host-tensor.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import { parseNpyHeader } from './npy.ts';
import {
  PickleBytes,
  PickleGlobal,
  type PickleHost,
  PickleObject,
  type PickleValue,
  unpickle,
} from './pickle.ts';
import { modernName, PYTHON_FUNCTIONS } from './python-objects.ts';
import { STORED_BYTES, type StoredDType, storedTensor } from './stored-tensor.ts';

/** Elements of an array of objects; those that are arrays or numbers of NumPy are tensors. */
export type NumpyObject = HostTensor | PickleValue;

/**
 * Reads an `.npy` file of objects, in the order of the array. Nothing that its pickle names is run.
 *
 * @param where what the user calls the file
 * @throws DataError when the file is damaged or holds no objects
 * @throws CheckpointError when its pickle is damaged or asks for more than arrays
 */
export function parseObjectNpy(bytes: Uint8Array, where: string): readonly NumpyObject[] {
  const { descriptor, dataBegin } = parseNpyHeader(bytes, where);
  if (descriptor !== "'|O'") throw noObjects(where, `its elements are ${descriptor}`);
  const pickle = unpickle(bytes, new NumpyObjects(where), where, dataBegin);
  if (pickle === undefined)
    throw noObjects(where, `it ends after ${bytes.length} bytes, before its pickle does`);
  const array = pickle.value;
  const elements = array instanceof NumpyArray ? array.elements : undefined;
  if (elements === undefined) throw noObjects(where, 'its pickle is no array of objects');
  return elements.map((element) =>
    element instanceof NumpyArray || element instanceof NumpyScalar ? element.tensor(where) : element,
  );
}

function noObjects(where: string, problem: string): DataError {
  return new DataError({
    where,
    problem: `not an array of objects: ${problem}`,
    fix: 'the file is damaged or of another kind: copy or write it again',
  });
}

const DTYPES: Readonly<Record<string, StoredDType>> = {
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  i1: 'I8',
  i2: 'I16',
  i4: 'I32',
  i8: 'I64',
  u1: 'U8',
  b1: 'BOOL',
};

class NumpyDType extends PickleObject {
  protected readonly kind = 'dtype';
  /** Such as `f4`; `O8` of objects. */
  readonly name: string;
  private byteOrder: PickleValue = '<';

  constructor(name: string) {
    super();
    this.name = name;
  }

  /** (version, byte order, …) */
  override setState(state: PickleValue): void {
    if (Array.isArray(state)) this.byteOrder = state[1] ?? null;
  }

  /** Undefined where elements are no numbers that are read. */
  get stored(): StoredDType | undefined {
    const isOurOrder = this.byteOrder === '<' || this.byteOrder === '|';
    return isOurOrder && Object.hasOwn(DTYPES, this.name) ? DTYPES[this.name] : undefined;
  }
}

class NumpyScalar extends PickleObject {
  protected readonly kind = 'scalar';
  private readonly dtype: PickleValue;
  private readonly bytes: PickleValue;

  constructor(dtype: PickleValue, bytes: PickleValue) {
    super();
    this.dtype = dtype;
    this.bytes = bytes;
  }

  tensor(where: string): HostTensor {
    return tensorFrom(this.dtype, [], this.bytes, where);
  }
}

class NumpyArray extends PickleObject {
  protected readonly kind = 'array';
  private state: readonly PickleValue[] = [];

  /** (version, shape, element type, is in Fortran order, values) */
  override setState(state: PickleValue): void {
    if (Array.isArray(state)) this.state = state;
  }

  /** Undefined where they are numbers. */
  get elements(): readonly PickleValue[] | undefined {
    const values = this.state[4];
    return Array.isArray(values) ? values : undefined;
  }

  tensor(where: string): HostTensor {
    const [, shape = null, dtype = null, isFortranOrder = null, values = null] = this.state;
    if (!isShape(shape)) throw noObjects(where, 'an array in it has no shape');
    if (isFortranOrder === true && shape.length > 1) {
      throw noObjects(where, 'an array in it is in Fortran order, which is not read');
    }
    return tensorFrom(dtype, shape, values, where);
  }
}

function isShape(value: PickleValue): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((axis) => typeof axis === 'number' && Number.isSafeInteger(axis) && axis >= 0)
  );
}

function tensorFrom(dtype: PickleValue, shape: Shape, values: PickleValue, where: string): HostTensor {
  const stored = dtype instanceof NumpyDType ? dtype.stored : undefined;
  const bytes = values instanceof PickleBytes ? values.bytes : values;
  if (stored === undefined || !(bytes instanceof Uint8Array)) {
    throw noObjects(where, 'an array in it holds no numbers that are read');
  }
  if (bytes.length !== sizeOf(shape) * STORED_BYTES[stored]) {
    throw noObjects(where, `an array of ${sizeOf(shape)} numbers in it has ${bytes.length} bytes`);
  }
  return storedTensor(stored, shape, bytes, where);
}

/** What such pickles may name. Everything else is refused: there is no use for it. */
class NumpyObjects implements PickleHost {
  private readonly where: string;

  constructor(where: string) {
    this.where = where;
  }

  global(pythonName: string): PickleGlobal {
    // NumPy 2 moved its own modules below `_core`.
    const name = modernName(pythonName).replace(/^numpy\._core\./, 'numpy.core.');
    if (Object.hasOwn(NUMPY_FUNCTIONS, name)) return new PickleGlobal(name, NUMPY_FUNCTIONS[name]);
    if (name === 'numpy.ndarray') return new PickleGlobal(name);
    throw noObjects(this.where, `its pickle asks for ${name.slice(0, 80)}, which no array needs`);
  }

  persistent(): PickleValue {
    throw noObjects(this.where, 'its pickle refers to something outside of it');
  }
}

const NUMPY_FUNCTIONS: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>> = {
  '_codecs.encode': PYTHON_FUNCTIONS['_codecs.encode']!,
  'numpy.core.multiarray._reconstruct': () => new NumpyArray(),
  'numpy.core.multiarray.scalar': ([dtype = null, bytes = null]) => new NumpyScalar(dtype, bytes),
  'numpy.dtype': ([name = null]) => new NumpyDType(String(name)),
};
