/** @file Comparing what was computed with what was recorded. */
import { type HostTensor, toNumbers } from '../../src/core/host-tensor.ts';
import { formatShape, sizeOf } from '../../src/core/shape.ts';
import { formatTolerance, type Tolerance } from './tolerance.ts';

export interface Comparison {
  /** The recorded value, by its name in the fixture. */
  readonly quantity: string;
  /** Largest |a − b| of an element. */
  readonly maxAbs: number;
  /** ‖a − b‖₂ / ‖b‖₂. */
  readonly relL2: number;
  /** In words. */
  readonly tolerance: string;
  /** The error as a multiple of what is allowed: above 1 is a failure. */
  readonly excess: number;
  /** Why there is nothing to compare, where that is so. */
  readonly problem?: string;
}

export function isWithin({ excess }: Comparison): boolean {
  return excess <= 1;
}

/** Compares element by element in row-major order; not-a-number never agrees with anything. */
export function compareNumbers(
  quantity: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): Comparison {
  const inWords = formatTolerance(tolerance);
  if (actual.length !== expected.length) {
    return misfit(quantity, `${actual.length} values, ${expected.length} were recorded`, inWords);
  }
  const { absolute, relative, relL2: allowedRelL2 } = tolerance;
  const boundsElements = absolute !== undefined || relative !== undefined;
  let [maxAbs, excess, squaredError, squaredNorm] = [0, 0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!];
    const error = a === b ? 0 : Math.abs(a - b); // equal infinities agree
    maxAbs = largerOf(maxAbs, error);
    squaredError += error ** 2;
    squaredNorm += b ** 2;
    if (boundsElements) {
      excess = largerOf(excess, share(error, (absolute ?? 0) + (relative ?? 0) * Math.abs(b)));
    }
  }
  const relL2 = share(Math.sqrt(squaredError), Math.sqrt(squaredNorm));
  if (allowedRelL2 !== undefined) excess = largerOf(excess, share(relL2, allowedRelL2));
  return { quantity, maxAbs, relL2, tolerance: inWords, excess };
}

/** Compares tensors that may differ in how their leading axes are split, but not in the order of elements. */
export function compareTensors(
  quantity: string,
  actual: HostTensor | undefined,
  expected: HostTensor,
  tolerance: Tolerance,
): Comparison {
  if (actual === undefined) return misfit(quantity, 'nothing was computed', formatTolerance(tolerance));
  if (sizeOf(actual.shape) !== sizeOf(expected.shape)) {
    const problem = `shape ${formatShape(actual.shape)}, ${formatShape(expected.shape)} was recorded`;
    return misfit(quantity, problem, formatTolerance(tolerance));
  }
  return compareNumbers(quantity, toNumbers(actual), toNumbers(expected), tolerance);
}

/** Two tensors that must have the same element type, shape and bytes. */
export function compareBits(
  quantity: string,
  actual: HostTensor | undefined,
  expected: HostTensor,
): Comparison {
  if (actual === undefined) return misfit(quantity, 'nothing was read', 'exact');
  const kindOf = ({ dtype, shape }: HostTensor): string => dtype + formatShape(shape);
  const kinds = compareExactly(quantity, kindOf(actual), kindOf(expected));
  if (!isWithin(kinds)) return kinds;
  const [a, b] = [bytesOf(actual), bytesOf(expected)];
  const differing = b.findIndex((byte, i) => byte !== a[i]);
  return differing < 0 ? kinds : misfit(quantity, `byte ${differing} of ${b.length} differs`, 'exact');
}

function bytesOf({ data }: HostTensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Two things that must be the same, such as counts or lists of names. */
export function compareExactly(quantity: string, actual: unknown, expected: unknown): Comparison {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a === b) return { quantity, maxAbs: 0, relL2: 0, tolerance: 'exact', excess: 0 };
  return misfit(quantity, `${shorten(a)}, recorded is ${shorten(b)}`, 'exact');
}

export function misfit(quantity: string, problem: string, tolerance: string): Comparison {
  return {
    quantity,
    maxAbs: Number.POSITIVE_INFINITY,
    relL2: Number.POSITIVE_INFINITY,
    tolerance,
    excess: Number.POSITIVE_INFINITY,
    problem,
  };
}

/** Math.max, but not-a-number counts as infinite. */
function largerOf(a: number, b: number): number {
  return Number.isNaN(b) ? Number.POSITIVE_INFINITY : Math.max(a, b);
}

/** error / allowed; no error is none of whatever is allowed. */
function share(error: number, allowed: number): number {
  return error === 0 ? 0 : error / allowed;
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}
