/**
 * @file The published weights on this machine, in the folder `weights` of the cache:
 *
 * - `NAME.pt` (or what its ending is): a whole, verified file;
 * - `NAME.pt.sha256.json`: what it was verified to be, kept when the file is deleted, so that the next download must be
 *   the same;
 * - `NAME.pt.part` and `NAME.pt.part.json`: what has arrived of a download, and of what;
 * - `NAME.pt.lock`: held by the process that downloads it;
 * - `licence-ID.json`: a licence that was accepted, and when.
 */

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DownloadError } from '../../core/errors.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { cacheFolder } from '../../host/files/cache-folder-node.ts';
import { readJson } from '../../host/files/read-json-node.ts';
import type { PublishedFile } from './catalogue.ts';
import { LICENCES, type LicenceId } from './licences.ts';
import { readOrigin } from './part-file-node.ts';

/** How we know that a hash is the right one: we wrote it down, its server announced it, or it was the first to come. */
export type HashSource = 'catalogue' | 'server' | 'first download';

/** What was found when a file came. */
export interface WeightsRecord {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly hashSource: HashSource;
}

export interface CachedWeights extends WeightsRecord {
  readonly path: string;
}

export class WeightsCache {
  readonly folder: string;

  /** @param root - the cache folder; by default the user's */
  constructor(root = cacheFolder()) {
    this.folder = join(root, 'weights');
  }

  pathOf({ name, url }: PublishedFile): string {
    return join(this.folder, `${name}${extname(url)}`);
  }

  recordPathOf(file: PublishedFile): string {
    return `${this.pathOf(file)}.sha256.json`;
  }

  partPathOf(file: PublishedFile): string {
    return `${this.pathOf(file)}.part`;
  }

  /** The file if it is here whole, going by its size; {@link recordOf} also knows of files that were deleted. */
  async find(file: PublishedFile): Promise<CachedWeights | undefined> {
    const record = await this.recordOf(file);
    const path = this.pathOf(file);
    return record !== undefined && (await sizeOf(path)) === record.bytes ? { ...record, path } : undefined;
  }

  async recordOf(file: PublishedFile): Promise<WeightsRecord | undefined> {
    return (await readJson(this.recordPathOf(file)).catch(() => undefined)) as WeightsRecord | undefined;
  }

  async record(file: PublishedFile, record: WeightsRecord): Promise<void> {
    await writeJson(this.recordPathOf(file), record);
  }

  /** How much of a download that was interrupted is here: from 0 to 1, if that can be told. */
  async partOf(file: PublishedFile): Promise<number | undefined> {
    const partPath = this.partPathOf(file);
    const [bytes, origin] = await Promise.all([sizeOf(partPath), readOrigin(partPath)]);
    return bytes === undefined || bytes === 0
      ? undefined
      : Math.min(1, bytes / (origin?.totalBytes ?? file.size.bytes));
  }

  async isAccepted(licence: LicenceId): Promise<boolean> {
    return (await readJson(this.#licencePath(licence)).catch(() => undefined)) !== undefined;
  }

  async accept(licence: LicenceId): Promise<void> {
    const acceptance = { ...LICENCES[licence], acceptedAt: new Date().toISOString() };
    await writeJson(this.#licencePath(licence), acceptance);
  }

  #licencePath(licence: LicenceId): string {
    return join(this.folder, `licence-${licence}.json`);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)], DownloadError);
}
