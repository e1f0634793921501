/** @file Where compiled models are kept between runs. The compiler knows this much of it; disk-cache-node.ts is one. */
import type { ModelFile } from '../runtime/session.ts';

/** Models cannot be kept: the disk is full, or may not be written. They can be computed with all the same. */
export class UnkeptError extends Error {
  constructor(cause: unknown) {
    super('the model cannot be kept', { cause });
  }
}

export interface CompileCache {
  /** The model that was kept under a key, if it is there with the bytes that were written. */
  find(key: string): Promise<ModelFile | undefined>;
  /**
   * Keeps a model. Two programs that keep the same one at the same time do not disturb each other.
   *
   * @param build - writes the model, as {@link ENTRY_FILE} and what lies beside it, into an empty folder
   * @throws UnkeptError where there is no room, or no folder, for it; all else that `build` throws as it is
   */
  keep(key: string, build: (folder: EntryFolder) => Promise<void>): Promise<ModelFile>;
  /** Told why a model is compiled in memory instead: no folder, a full disk. */
  readonly onUnkept?: ((error: unknown) => void) | undefined;
  /** Forgets a model, if it is there. @throws UnkeptError where it may not be removed */
  remove(key: string): Promise<void>;
}

/** The file of an entry that is loaded. */
export const ENTRY_FILE = 'model.onnx';

/** A folder in which an entry is built. */
export interface EntryFolder {
  path(name: string): string;
  /** Makes a file of a given length, to be filled in any order. */
  create(name: string, byteLength: number): Promise<FileSink>;
  remove(name: string): Promise<void>;
}

export interface FileSink {
  write(bytes: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}
