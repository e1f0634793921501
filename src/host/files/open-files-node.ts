/** @file Many files that are read here and there, without opening and closing one at each read. */
import { close, open, read } from 'node:fs';
import { promisify } from 'node:util';

const openFile = promisify(open);
const closeFile = promisify(close);
const readFile = promisify(read);

interface OpenFile {
  /** A number and no `FileHandle`: whoever forgets to close this loses nothing but the number. */
  readonly descriptor: Promise<number>;
  readers: number;
}

/** Far below the 1024 that a process may have open at once on many systems. */
const MOST_OPEN = 128;

export class OpenFiles {
  /** The least recently used first. */
  private readonly files = new Map<string, OpenFile>();

  /**
   * The bytes from `begin` up to `end`; fewer where the file ends before.
   *
   * @throws the system's error if it cannot be read
   */
  async read(path: string, begin: number, end: number): Promise<Uint8Array> {
    const file = this.use(path);
    file.readers++;
    try {
      const descriptor = await file.descriptor;
      const bytes = new Uint8Array(end - begin);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await readFile(
          descriptor,
          bytes,
          length,
          bytes.length - length,
          begin + length,
        );
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return bytes.subarray(0, length);
    } catch (error) {
      this.files.delete(path);
      throw error;
    } finally {
      file.readers--;
    }
  }

  /** Lets go of all files; a later read opens them again. */
  async close(): Promise<void> {
    const all = [...this.files.values()];
    this.files.clear();
    for (const { descriptor } of all) await descriptor.then(closeFile, () => undefined);
  }

  private use(path: string): OpenFile {
    const known = this.files.get(path);
    const file = known ?? { descriptor: openFile(path, 'r'), readers: 0 };
    this.files.delete(path);
    this.files.set(path, file);
    if (known === undefined) this.closeIdleBut(path);
    return file;
  }

  private closeIdleBut(newest: string): void {
    for (const [path, { readers, descriptor }] of this.files) {
      if (this.files.size <= MOST_OPEN) return;
      if (readers > 0 || path === newest) continue;
      this.files.delete(path);
      descriptor.then(closeFile).catch(() => undefined);
    }
  }
}
