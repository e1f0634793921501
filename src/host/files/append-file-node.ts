/** @file A file that only grows, as logs do. */
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { DataError } from '../../core/errors.ts';
import { isDiskFull, systemErrorCode } from './write-error-node.ts';

/** What is appended is handed to the system at once, so that a killed process loses nothing that it had reported. */
export class AppendFile {
  readonly path: string;
  #descriptor: number | undefined;

  /** Opens the file, or creates it; its folder must exist. */
  constructor(path: string) {
    this.path = path;
    this.#descriptor = this.#orExplain(() => openSync(path, 'a'));
  }

  /** @throws DataError when the disk is full or gone; a part of `content` may have been written */
  append(content: string | Uint8Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new Error(`${this.path}: append after close`);
    this.#orExplain(() => appendFileSync(descriptor, content));
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #orExplain<T>(action: () => T): T {
    try {
      return action();
    } catch (cause) {
      const code = systemErrorCode(cause);
      const isFull = isDiskFull(code);
      throw new DataError({
        where: this.path,
        problem: isFull ? 'the disk is full' : `cannot be written (${code ?? String(cause)})`,
        fix: `${isFull ? 'free some space' : 'make the file writable'}, then run the same command again`,
        cause,
      });
    }
  }
}
