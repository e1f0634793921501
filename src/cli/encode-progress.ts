/** @file What a person sees of an encoding: how many pictures, at which pace, and which are left out. */
import { printableLine } from '../core/printable.ts';
import { compileCache } from '../models/compile-cache-node.ts';
import { type EncodeOptions, type EncodeResult, encodePictures } from '../tasks/encoding/encode-node.ts';
import { notesOn, type Progress, startProgress, type Terminal } from './terminal.ts';

/** Encodes, with a bar or lines; nothing is shown where all is encoded already. */
export async function encodeWithProgress(
  options: Omit<EncodeOptions, 'observer' | 'cache'>,
  terminal: Terminal,
): Promise<EncodeResult> {
  const { names, classNames, recognised } = options.source;
  terminal.err.write(`${names.length} pictures, classes: ${classNames.length}; ${recognised}\n`);
  const startedMs = performance.now();
  let progress: Progress | undefined;
  /** Pictures of this command, of all that are done, and those that were there before. */
  let [worked, lastDone, lastResumed] = [0, 0, 0];
  const stop = () => {
    progress?.stop();
    progress = undefined;
  };
  try {
    return await encodePictures({
      ...options,
      cache: compileCache(notesOn(terminal)),
      observer: {
        onProgress(done, total, resumed) {
          if (resumed === lastResumed) worked += done - lastDone;
          [lastDone, lastResumed] = [done, resumed];
          progress ??= startProgress(terminal, { title: 'encoding', total, from: done });
          const pace = worked / ((performance.now() - startedMs) / 1000);
          progress.update(done, `${done} of ${total}, ${pace.toFixed(1)} pictures/s`);
        },
        onUnreadable(name, reason) {
          stop();
          terminal.err.write(`warning: ${printableLine(name)} is left out: ${reason}\n`);
        },
      },
    });
  } finally {
    stop();
  }
}
