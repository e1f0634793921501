/** @file Encoded pictures as others store them, written from TypeScript. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Zippable, zipSync } from 'fflate';
import type { HostTensor } from '../../src/core/host-tensor.ts';
import { normal, randomKey } from '../../src/core/random.ts';
import { npyHeader } from '../../src/formats/npy.ts';
import { type Bytes, joinBytes, op, pickleOf } from './torch-writer.ts';

/** File contents by name. */
export type Files = Readonly<Record<string, Uint8Array>>;

export async function writeFiles(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

export async function writeZip(path: string, files: Files): Promise<void> {
  await writeFile(path, zipSync(files as Zippable, { level: 0 }));
}

export function bytesOf({ data }: HostTensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function npy(tensor: HostTensor): Uint8Array {
  return joinBytes(npyHeader(tensor.dtype, tensor.shape), bytesOf(tensor));
}

/** Normally distributed values for each channel. */
export function latentValues(
  seed: number,
  channels: readonly { readonly mean: number; readonly deviation: number }[],
  area: number,
): Float32Array<ArrayBuffer> {
  const noise = normal(randomKey(seed), channels.length * area);
  return Float32Array.from(noise, (value, i) => {
    const { mean, deviation } = channels[Math.floor(i / area)]!;
    return mean + deviation * value;
  });
}

// Pickles of NumPy

const byteText = (bytes: Uint8Array): Uint8Array =>
  joinBytes(new TextEncoder().encode('B'), new Uint8Array(Uint32Array.of(bytes.length).buffer), bytes);

const tuple = (...items: readonly Bytes[]): Uint8Array => joinBytes(op.mark, ...items, op.tuple);

const dtypeOf = (name: string): Uint8Array =>
  joinBytes(
    op.global('numpy', 'dtype'),
    tuple(op.text(name), op.no, op.yes),
    op.reduce,
    tuple(
      op.int(3),
      op.text(name === 'O8' ? '|' : '<'),
      op.none,
      op.none,
      op.none,
      op.int(-1),
      op.int(-1),
      op.int(0),
    ),
    op.build,
  );

const arrayOf = (module: string, shape: readonly number[], dtype: string, values: Bytes): Uint8Array =>
  joinBytes(
    op.global(`${module}.multiarray`, '_reconstruct'),
    tuple(op.global('numpy', 'ndarray'), tuple(op.int(0)), byteText(new TextEncoder().encode('b'))),
    op.reduce,
    tuple(op.int(1), tuple(...shape.map(op.int)), dtypeOf(dtype), op.no, values),
    op.build,
  );

/** What `np.save(path, (moments, label))` of U-ViT writes. @param module - `numpy._core` in NumPy 2 */
export function pickledPair(moments: HostTensor<'f32'>, label: number, module = 'numpy.core'): Uint8Array {
  const scalar = joinBytes(
    op.global(`${module}.multiarray`, 'scalar'),
    tuple(dtypeOf('i8'), byteText(new Uint8Array(BigInt64Array.of(BigInt(label)).buffer))),
    op.reduce,
  );
  const pair = joinBytes(
    op.emptyList,
    op.mark,
    arrayOf(module, moments.shape, 'f4', byteText(bytesOf(moments))),
    scalar,
    op.appends,
  );
  const header = new TextDecoder('latin1').decode(npyHeader('f32', [2])).replace("'<f4'", "'|O' ");
  return joinBytes(
    Uint8Array.from(header, (character) => character.charCodeAt(0)),
    pickleOf(arrayOf(module, [2], 'O8', pair)),
  );
}
