/** @file Opens a checkpoint of any format that is read, to be read tensor by tensor. */
import { BYTES_PER_ELEMENT } from '../core/dtype.ts';
import { CheckpointError } from '../core/errors.ts';
import { sizeOf } from '../core/shape.ts';
import type { ByteSource } from './byte-source.ts';
import { PickleRecord, type PickleValue } from './pickle.ts';
import { openSafetensors } from './safetensors.ts';
import { READ_AS } from './stored-tensor.ts';
import { checkExpansion, type TensorFile } from './tensor-file.ts';
import { openTorch, startsLikeTorch } from './torch-file.ts';
import { TorchTensor } from './torch-objects.ts';

/**
 * A safetensors file, or what `torch.save` wrote: a state dict, or several of them in a dictionary such as
 * `{model, ema, opt, args}`, whose keys then come before the names of their tensors, as in `ema.blocks.0.attn.qkv.bias`.
 * Arguments of a training script become metadata, as in `args.model`.
 *
 * @param where what the user calls the file
 * @throws CheckpointError if it is damaged or holds no named tensors
 */
export async function openTensors(source: ByteSource, where: string): Promise<TensorFile> {
  const start = await source.read(0, Math.min(source.size, 4));
  return startsLikeTorch(start) ? openStateDicts(source, where) : openSafetensors(source, where);
}

async function openStateDicts(source: ByteSource, where: string): Promise<TensorFile> {
  const { format, root, read } = await openTorch(source, where);
  const tensors = new Map<string, TorchTensor>();
  const metadata: Record<string, string> = {};
  for (const [name, value] of named(root)) {
    if (value instanceof TorchTensor) tensors.set(name, value);
    for (const [inner, innerValue] of named(value)) {
      if (innerValue instanceof TorchTensor) tensors.set(`${name}.${inner}`, innerValue);
    }
    if (value instanceof PickleRecord) {
      for (const [argument, given] of named(value.attributes)) {
        if (isScalar(given)) metadata[`${name}.${argument}`] = String(given);
      }
    }
  }
  if (tensors.size === 0) {
    throw new CheckpointError({
      where,
      problem: 'there are no named tensors in it, neither in a state dict nor in a dictionary of some',
      fix: 'save the weights of a model: torch.save(model.state_dict(), path)',
    });
  }
  const infos = new Map(
    [...tensors].map(([name, { shape, storage }]) => [name, { dtype: READ_AS[storage.dtype], shape }]),
  );
  const bytes = [...infos.values()].map(({ dtype, shape }) => sizeOf(shape) * BYTES_PER_ELEMENT[dtype]);
  checkExpansion(
    'its tensors',
    bytes.reduce((a, b) => a + b, 0),
    source.size,
    where,
  );
  return { format, metadata, infos, read: (name) => read(tensors.get(name)!) };
}

/** Entries of a dictionary whose keys are names; nothing of what is none. */
function* named(value: PickleValue): Iterable<readonly [string, PickleValue]> {
  if (!(value instanceof Map)) return;
  for (const [key, entry] of value) if (typeof key === 'string') yield [key, entry];
}

function isScalar(value: PickleValue): boolean {
  return ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
}
