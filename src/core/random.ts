/**
 * @file Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers:
 * as easy as 1, 2, 3"). A key is a value; the same key always gives the same numbers, so nothing has to be saved to
 * resume exactly but the seed and the step.
 */

/** Two 32-bit words. Derive keys with {@link fold}; never use one key for two purposes. */
export type RandomKey = readonly [number, number];

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** Encrypts one 64-bit counter into `out[at], out[at + 1]`. Public for its known-answer test only. */
export function threefry(
  key: RandomKey,
  counter0: number,
  counter1: number,
  out: Int32Array,
  at: number,
): void {
  const k0 = key[0] | 0;
  const k1 = key[1] | 0;
  const k2 = k0 ^ k1 ^ PARITY;
  let x0 = (counter0 + k0) | 0;
  let x1 = (counter1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    const first = (group & 1) * 4;
    for (let i = first; i < first + 4; i++) {
      const rotation = ROTATIONS[i]!;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    }
    const next = group % 3;
    x0 = (x0 + (next === 0 ? k1 : next === 1 ? k2 : k0)) | 0;
    x1 = (x1 + (next === 0 ? k2 : next === 1 ? k0 : k1) + group + 1) | 0;
  }
  out[at] = x0;
  out[at + 1] = x1;
}

const scratch = new Int32Array(2);

/** The root key of a seed. */
export function randomKey(seed: number): RandomKey {
  return [Math.floor(seed / 2 ** 32) | 0, seed | 0];
}

/** Derives an independent key per purpose, step, sample …: `fold(key, 'noise', step)`. */
export function fold(key: RandomKey, ...labels: readonly (string | number)[]): RandomKey {
  let derived = key;
  for (const label of labels) {
    // Strings are hashed by FNV-1a; numbers keep all of their 53 bits.
    const high = typeof label === 'number' ? Math.floor(label / 2 ** 32) | 0 : hashString(label);
    const low = typeof label === 'number' ? label | 0 : label.length;
    threefry(derived, low, high, scratch, 0);
    derived = [scratch[0]!, scratch[1]!];
  }
  return derived;
}

/** FNV-1a, 32 bits: also what decides the held-out split of a dataset. */
export function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}

/** `count` random 32-bit words. */
export function randomBits(key: RandomKey, count: number): Uint32Array {
  const words = new Int32Array(count + (count & 1));
  for (let i = 0; i < count; i += 2) threefry(key, i >>> 1, 0, words, i);
  return new Uint32Array(words.buffer, 0, count);
}

/** Uniform on [0, 1), 24 bits each. */
export function uniform(key: RandomKey, count: number): Float32Array {
  return Float32Array.from(randomBits(key, count), (word) => (word >>> 8) * 2 ** -24);
}

/** Standard normal (Box–Muller in float64, rounded once). */
export function normal(key: RandomKey, count: number): Float32Array {
  const words = randomBits(key, count + (count & 1));
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((words[i]! + 0.5) * 2 ** -32));
    const angle = words[i + 1]! * (2 * Math.PI * 2 ** -32);
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/** Integers uniform on [0, bound). The bias of the multiply-shift method is below bound / 2^32. */
export function randomIntegers(key: RandomKey, count: number, bound: number): Int32Array {
  return Int32Array.from(randomBits(key, count), (word) => Math.floor((word / 2 ** 32) * bound));
}

/** A random order of `0 … count-1` (Fisher–Yates). */
export function permutation(key: RandomKey, count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const words = randomBits(key, count);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor((words[i]! / 2 ** 32) * (i + 1));
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}
