/** @file Memory as a count, which depends neither on when garbage is collected nor on what else the process does. */

const ARRAYS = [
  'Uint8Array',
  'Int8Array',
  'Uint16Array',
  'Int16Array',
  'Uint32Array',
  'Int32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'ArrayBuffer',
] as const;

/** Bytes of all arrays that are made until `work` is done: those over memory that is there already do not count. */
export async function bytesAllocatedIn(work: () => Promise<unknown>): Promise<number> {
  let bytes = 0;
  const originals = ARRAYS.map((name) => [name, globalThis[name]] as const);
  for (const [name, original] of originals) {
    const counted = new Proxy(original, {
      construct(target, args, newTarget) {
        const array = Reflect.construct(target, args, newTarget) as { readonly byteLength: number };
        if (!(args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer))
          bytes += array.byteLength;
        return array;
      },
    });
    Object.assign(globalThis, { [name]: counted });
  }
  try {
    await work();
  } finally {
    for (const [name, original] of originals) Object.assign(globalThis, { [name]: original });
  }
  return bytes;
}
