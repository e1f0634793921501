/** @file What every checkpoint file is to those who read it, whatever its format. */
import { CheckpointError } from '../core/errors.ts';
import type { TensorSource } from '../core/tensor-source.ts';

export interface TensorFile extends TensorSource {
  /** In words, such as `safetensors`. */
  readonly format: string;
  /** What the file says about itself. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Why a tensor cannot be read, by its name; they are not among `infos`. */
  readonly unreadable?: ReadonlyMap<string, string>;
  /** Kinds of objects beside the tensors of which nothing was built. */
  readonly passedOver?: readonly string[];
}

/** To be closed when no more is to be read. */
export interface OpenTensorFile extends TensorFile {
  close(): Promise<void>;
}

/** Weights hardly compress, and are seldom stored once for several names. */
const MAX_EXPANSION = 16;
const FREE_EXPANSION_BYTES = 2 ** 26;

/**
 * Refuses a small file that says it is large inside, made to fill the memory.
 *
 * @param what - what takes `contentBytes`, such as `its tensors`
 */
export function checkExpansion(what: string, contentBytes: number, fileBytes: number, where: string): void {
  const allowed = MAX_EXPANSION * fileBytes + FREE_EXPANSION_BYTES;
  if (contentBytes <= allowed) return;
  throw new CheckpointError({
    where,
    problem: `${what} would take ${contentBytes} bytes in memory, the limit is ${allowed} for a file of ${fileBytes}`,
    fix: 'where you trust the file, load it in PyTorch and save it again with each tensor cloned',
  });
}

/** A file that is not what its writer wrote. */
export function damaged(where: string, problem: string, cause?: unknown): CheckpointError {
  return new CheckpointError({ where, problem, fix: 'the file is damaged: copy or write it again', cause });
}
