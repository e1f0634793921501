/** @file Opens a checkpoint of any format that is read, to be read tensor by tensor. */
import { BYTES_PER_ELEMENT } from '../core/dtype.ts';
import { CheckpointError } from '../core/errors.ts';
import { sizeOf } from '../core/shape.ts';
import type { ByteSource } from './byte-source.ts';
import { findNamed } from './named-tensors.ts';
import { openSafetensors } from './safetensors.ts';
import { READ_AS } from './stored-tensor.ts';
import { checkExpansion, type TensorFile } from './tensor-file.ts';
import { openTorch, startsLikeTorch, TELLING_BYTES } from './torch-file.ts';

/**
 * A safetensors file, or what `torch.save` wrote: a state dict, or dictionaries, lists and objects that hold some, whose
 * keys then come before the names of their tensors, as in `ema.blocks.0.attn.qkv.bias`. Arguments of a training script
 * become metadata, as in `args.model`.
 *
 * @param where what the user calls the file
 * @throws CheckpointError if it is damaged or holds no named tensors
 */
export async function openTensors(source: ByteSource, where: string): Promise<TensorFile> {
  const start = await source.read(0, Math.min(source.size, TELLING_BYTES));
  return startsLikeTorch(start) ? openStateDicts(source, where) : openSafetensors(source, where);
}

async function openStateDicts(source: ByteSource, where: string): Promise<TensorFile> {
  const { format, root, read, passedOver } = await openTorch(source, where);
  const { tensors, unreadable, metadata } = findNamed(root, where);
  if (tensors.size === 0) {
    throw new CheckpointError({
      where,
      problem:
        'there are no named tensors in it that can be read, neither in a state dict nor in a dictionary of some',
      facts: [...unreadable].slice(0, 3),
      fix: 'save the weights of a model: torch.save(model.state_dict(), path)',
    });
  }
  const infos = new Map(
    [...tensors].map(([name, { shape, dtype }]) => [name, { dtype: READ_AS[dtype], shape }]),
  );
  const bytes = [...infos.values()].map(({ dtype, shape }) => sizeOf(shape) * BYTES_PER_ELEMENT[dtype]);
  checkExpansion(
    'its tensors',
    bytes.reduce((a, b) => a + b, 0),
    source.size,
    where,
  );
  return { format, metadata, infos, unreadable, passedOver, read: (name) => read(tensors.get(name)!) };
}
