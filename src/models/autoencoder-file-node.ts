/** @file Files of autoencoders. Tiny AutoEncoders are published in two, `taesd_encoder.pth` and `taesd_decoder.pth`. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CheckpointError } from '../core/errors.ts';
import { openTensorFile } from '../formats/file-node.ts';
import type { OpenTensorFile } from '../formats/tensor-file.ts';

type Half = 'encoder' | 'decoder';

const OTHER = { encoder: 'decoder', decoder: 'encoder' } as const;

/**
 * An autoencoder's file. Of one that is published in halves either stands for both; their tensors are named below
 * `encoder.` and `decoder.`.
 *
 * @throws CheckpointError if it cannot be read, or the other half is not beside it
 */
export async function openAutoencoderFile(path: string): Promise<OpenTensorFile> {
  const file = await openTensorFile(path);
  const half = halfIn(file);
  if (half === undefined) return file;
  try {
    const other = await openTensorFile(otherHalf(path, half));
    return half === 'encoder' ? joined(file, other) : joined(other, file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Both halves number their layers from the top of the file; the first convolution tells them apart. */
function halfIn({ infos }: OpenTensorFile): Half | undefined {
  if (infos.has('0.weight') && infos.has('1.conv.0.weight')) return 'encoder';
  return infos.has('1.weight') && infos.has('3.conv.0.weight') ? 'decoder' : undefined;
}

function otherHalf(path: string, half: Half): string {
  const name = basename(path);
  const other = name.replace(half, OTHER[half]);
  const found = join(dirname(path), other);
  if (other !== name && existsSync(found)) return found;
  throw new CheckpointError({
    where: path,
    problem: `it holds the ${half} of an autoencoder alone${other === name ? '' : `, and ${other} is not beside it`}`,
    fix: `put the ${OTHER[half]} beside it, with the same name but for ${half} and ${OTHER[half]}`,
  });
}

function joined(encoder: OpenTensorFile, decoder: OpenTensorFile): OpenTensorFile {
  const halves = { encoder, decoder };
  const owners = new Map<string, { readonly file: OpenTensorFile; readonly name: string }>(
    Object.entries(halves).flatMap(([half, file]) =>
      [...file.infos.keys()].map((name) => [`${half}.${name}`, { file, name }] as const),
    ),
  );
  return {
    format: `${encoder.format} in two files`,
    metadata: { ...encoder.metadata, ...decoder.metadata },
    infos: new Map([...owners].map(([key, { file, name }]) => [key, file.infos.get(name)!])),
    read: (key) => {
      const { file, name } = owners.get(key)!;
      return file.read(name);
    },
    async close() {
      await encoder.close();
      await decoder.close();
    },
  };
}
