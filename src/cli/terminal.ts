/** @file Where a command prints: results on one stream, progress on the other, a bar on a terminal and lines elsewhere. */
import { closeSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { isatty } from 'node:tty';
import { Presets, SingleBar } from 'cli-progress';
import { printable } from '../core/printable.ts';

/** The part of a writable stream that is used. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Terminal {
  /** Results: what a script reads. */
  readonly out: TextStream;
  /** Progress, warnings and errors. */
  readonly err: TextStream;
  /** Asks the person at the keyboard; undefined where there is none. An input that ends answers nothing. */
  readonly ask?: ((question: string, signal: AbortSignal) => Promise<string>) | undefined;
}

/** Writes a note below which a command goes on. */
export function notesOn({ err }: Pick<Terminal, 'err'>): (note: string) => void {
  return (note) => err.write(printable(`note: ${note}\n`));
}

export const processTerminal: Terminal = {
  out: process.stdout,
  err: process.stderr,
  ask: process.stdin.isTTY && process.stderr.isTTY ? askAtKeyboard : undefined,
};

/** The part of a stream of this process that tells when it cannot be written. */
export interface FailingStream {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Lets a command outlive whoever reads what it prints, as in `udit … | head` or at a terminal that is closed: what is
 * printed from then on is lost, and its files are written all the same.
 *
 * @returns why results were lost, as soon as they are
 */
export function outliveReaders(
  out: FailingStream,
  err: FailingStream,
): { readonly lost: NodeJS.ErrnoException | undefined } {
  const results: { lost: NodeJS.ErrnoException | undefined } = { lost: undefined };
  out.on('error', (error) => {
    results.lost ??= error;
  });
  // Progress and warnings that nobody sees harm nothing.
  err.on('error', () => {});
  return results;
}

/** Node sets terminals back as they were when it ends, and aborts where one is gone: those are closed first. */
export function closeLostTerminals(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.once('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
  });
}

async function askAtKeyboard(question: string, signal: AbortSignal): Promise<string> {
  const keyboard = createInterface({ input: process.stdin, output: process.stderr });
  // Reading from a terminal takes Ctrl-C away from the process.
  keyboard.on('SIGINT', () => process.emit('SIGINT', 'SIGINT'));
  const ended = new Promise<string>((resolve) => keyboard.once('close', () => resolve('')));
  try {
    return await Promise.race([keyboard.question(question, { signal }), ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    keyboard.close();
  }
}

export interface Progress {
  /** @param note - what is being done, such as `step 3 of 25` */
  update(done: number, note: string): void;
  /** Clears the bar; to be called also when the work failed. */
  stop(): void;
}

export interface ProgressOptions {
  /** What is being done, such as `sampling`. */
  readonly title: string;
  readonly total: number;
  /** Where this session begins, which says nothing about the pace. Default 0. */
  readonly from?: number;
  /** Lines come no closer than this. Default 5000. */
  readonly lineIntervalMs?: number;
}

const DEFAULT_LINE_INTERVAL_MS = 5000;

/** A bar where someone is watching, now and then a line in a log. */
export function startProgress({ err }: Terminal, options: ProgressOptions): Progress {
  return err.isTTY === true ? progressBar(err, options) : progressLines(err, options);
}

function progressBar(stream: TextStream, { title, total, from = 0 }: ProgressOptions): Progress {
  const bar = new SingleBar(
    {
      format: `${title} {bar} {percentage}% | {note} | {eta_formatted} left`,
      stream: stream as NodeJS.WriteStream,
      clearOnComplete: true,
      hideCursor: true,
      // The first step alone says nothing about the pace.
      etaBuffer: Math.max(10, Math.ceil(total / 10)),
    },
    Presets.shades_classic,
  );
  bar.start(total, from, { note: 'starting' });
  return { update: (done, note) => bar.update(done, { note }), stop: () => bar.stop() };
}

/** `45 s`, `12 min`, `3.4 h`, `1,200 days` */
export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 72 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400).toLocaleString('en')} days`;
}

function progressLines(stream: TextStream, options: ProgressOptions): Progress {
  const { title, total, lineIntervalMs = DEFAULT_LINE_INTERVAL_MS } = options;
  let printedAt = performance.now();
  // The pace is that of this session: a run that goes on begins with most of its steps done.
  let first: { readonly done: number; readonly at: number } | undefined;
  return {
    update(done, note) {
      const now = performance.now();
      first ??= { done, at: now };
      if (now - printedAt < lineIntervalMs) return;
      printedAt = now;
      const secondsPerUnit = (now - first.at) / 1000 / Math.max(1, done - first.done);
      const left = done === first.done ? '' : `, ${formatSeconds(secondsPerUnit * (total - done))} left`;
      stream.write(`${title} ${Math.floor((100 * done) / total)}% (${note}${left})\n`);
    },
    stop() {},
  };
}
