/** @file What `udit fetch` prints: the list, the terms, how far a download is, and where the file lies. */
import { formatBytes } from '../core/byte-size.ts';
import type { PublishedFile } from '../models/hub/catalogue.ts';
import type { DownloadProgress } from '../models/hub/download-node.ts';
import type { FetchedWeights } from '../models/hub/fetch-weights-node.ts';
import { describeLicence, LICENCES } from '../models/hub/licences.ts';
import type { CachedWeights, HashSource } from '../models/hub/weights-cache-node.ts';
import { type Progress, startProgress, type Terminal } from './terminal.ts';

export interface ListedWeights {
  readonly file: PublishedFile;
  readonly cached: CachedWeights | undefined;
  /** How much of it an interrupted download has left, from 0 to 1. */
  readonly part: number | undefined;
}

export function describeList(entries: readonly ListedWeights[], folder: string, json: boolean): string {
  if (json) return `${JSON.stringify(entries.map(listedAsJson), null, 2)}\n`;
  const rows = entries.map(({ file, cached, part }) => [
    file.name,
    `${file.size.exact ? '' : '~'}${formatBytes(file.size.bytes)}`,
    cached !== undefined ? 'here' : part !== undefined ? `${Math.floor(100 * part)}% here` : '',
    file.licence,
    file.about,
  ]);
  const table = aligned([['name', 'size', '', 'licence', 'what it is'], ...rows]);
  return `${table}\ncache: ${folder}\n`;
}

function listedAsJson({ file, cached, part }: ListedWeights) {
  const { size, licence, sha256, ...rest } = file;
  return {
    ...rest,
    bytes: size.bytes,
    bytesAreExact: size.exact,
    sha256: cached?.sha256 ?? sha256 ?? null,
    licence: { id: licence, ...LICENCES[licence] },
    path: cached?.path ?? null,
    part: part ?? null,
  };
}

/** Columns two spaces apart; a size ends where the others end. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => {
      const cells = row.map((cell, i) => (i === 1 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)));
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

/** What is to be accepted before the download. */
export function describeTerms(file: PublishedFile): string {
  const licence = LICENCES[file.licence];
  const lines = [
    `${file.name}: ${file.about}`,
    `licence  ${describeLicence(licence)}: ${licence.url}`,
    `         as stated at ${file.page}`,
  ];
  if (file.licenceNote !== undefined) lines.push(`         ${file.licenceNote}`);
  return `${lines.join('\n')}\n`;
}

const HASH_SOURCES: Readonly<Record<HashSource, string>> = {
  catalogue: 'as the catalogue says',
  server: 'as its server announced',
  'first download': 'trusted because none is published: later downloads have to have it too',
};

export function describeFetched(file: PublishedFile, fetched: FetchedWeights, json: boolean): string {
  const { path, bytes, sha256, hashSource, url, isNew } = fetched;
  const { name, kind, licence, use } = file;
  if (json) {
    const result = { name, kind, path, bytes, sha256, hashSource, fetched: isNew, url, licence };
    return `${JSON.stringify(result, null, 2)}\n`;
  }
  return [
    `${name}${isNew ? '' : ' was in the cache'}`,
    `file     ${path}`,
    `size     ${formatBytes(bytes)}`,
    `sha256   ${sha256}, ${HASH_SOURCES[hashSource]}`,
    `licence  ${describeLicence(LICENCES[licence])}`,
    `next     ${use}`,
    '',
  ].join('\n');
}

export interface FetchWatcher {
  update(progress: DownloadProgress): void;
  say(message: string): void;
  stop(): void;
}

/** A bar is drawn no more often than this. */
const UPDATE_INTERVAL_MS = 100;
const TITLES = { reading: 'verifying', receiving: 'fetching' } as const;

/** Progress of a download, with its speed; a bar on a terminal, lines elsewhere. */
export function watchFetch(terminal: Terminal, { name, size }: PublishedFile): FetchWatcher {
  let shown:
    | { readonly phase: DownloadProgress['phase']; readonly bar: Progress; readonly speed: Speedometer }
    | undefined;
  let updatedAt = 0;
  const stop = () => {
    shown?.bar.stop();
    shown = undefined;
  };
  return {
    update({ phase, bytes, totalBytes = size.bytes }) {
      const now = performance.now();
      if (shown?.phase !== phase) {
        stop();
        const title = `${TITLES[phase]} ${name}`;
        const bar = startProgress(terminal, { title, total: totalBytes, from: bytes });
        shown = { phase, bar, speed: new Speedometer(bytes, now) };
        updatedAt = now;
      }
      if (now - updatedAt < UPDATE_INTERVAL_MS) return;
      updatedAt = now;
      const pace = shown.speed.update(bytes, now);
      const note = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${formatBytes(pace)}/s`;
      shown.bar.update(bytes, note);
    },
    say(message) {
      stop();
      terminal.err.write(`${message}\n`);
    },
    stop,
  };
}

const SPEED_WINDOW_MS = 5000;

/** Bytes per second over the last seconds. */
export class Speedometer {
  readonly #marks: { readonly bytes: number; readonly at: number }[];

  /** @param at - in milliseconds, as all times given later */
  constructor(bytes: number, at: number) {
    this.#marks = [{ bytes, at }];
  }

  update(bytes: number, at: number): number {
    this.#marks.push({ bytes, at });
    while (this.#marks.length > 2 && at - this.#marks[1]!.at >= SPEED_WINDOW_MS) this.#marks.shift();
    const first = this.#marks[0]!;
    return Math.round((1000 * (bytes - first.bytes)) / Math.max(1, at - first.at));
  }
}
