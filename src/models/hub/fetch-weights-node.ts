/** @file Published weights by name: from the cache, or downloaded once, with their licence accepted. */
import { rename, rm } from 'node:fs/promises';
import { formatBytes } from '../../core/byte-size.ts';
import { uditCommand } from '../../core/command.ts';
import { ConfigError, DownloadError, type ErrorDetails } from '../../core/errors.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import { sha256OfFile } from '../../host/files/digest-node.ts';
import { type LockHolder, withLock } from '../../host/files/lock-file-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { findPublished, type PublishedFile } from './catalogue.ts';
import { type DownloadOptions, download } from './download-node.ts';
import { downloadSource } from './download-source.ts';
import { describeLicence, LICENCES, type Licence } from './licences.ts';
import { removePart } from './part-file-node.ts';
import {
  type CachedWeights,
  type HashSource,
  WeightsCache,
  type WeightsRecord,
} from './weights-cache-node.ts';

export interface FetchOptions extends DownloadOptions {
  /** Default: the user's. */
  readonly cache?: WeightsCache | undefined;
  /** Use what is in the cache, or fail. */
  readonly offline?: boolean | undefined;
  /** Root of a server with the same paths as the published addresses. */
  readonly mirror?: string | undefined;
  /** In place of the process's environment. */
  readonly variables?: Readonly<Record<string, string | undefined>> | undefined;
  /** Asked before the first download under a licence; the answer is remembered in the cache. Default: no. */
  readonly acceptLicence?:
    | ((licence: Licence, file: PublishedFile) => boolean | Promise<boolean>)
    | undefined;
}

const FETCH_OPTIONS: OptionTable<FetchOptions> = {
  signal: 'optional',
  onProgress: 'optional',
  onNotice: 'optional',
  idleTimeoutMs: 'optional',
  retries: 'optional',
  retryDelayMs: 'optional',
  cache: 'optional',
  offline: 'optional',
  mirror: 'optional',
  variables: 'optional',
  acceptLicence: 'optional',
};

export interface FetchedWeights extends CachedWeights {
  /** False if it was in the cache. */
  readonly isNew: boolean;
}

/**
 * The file on this machine, verified: one that is in the cache is hashed again.
 *
 *     const file = publishedFile('TAESD'); // file.page describes it, and states its licence
 *     const { path } = await fetchWeights(file, { acceptLicence: ({ nonCommercial }) => !nonCommercial });
 *     const { network, weights } = await openModel(path, { role: 'autoencoder' });
 *     console.log(network.config.factor, weights.size);
 *
 * @throws DownloadError if it cannot be had, or is not the published one
 * @throws ConfigError if its licence is not accepted, or for an option that does not exist
 */
export async function fetchWeights(file: PublishedFile, options: FetchOptions = {}): Promise<FetchedWeights> {
  expectOptions(options, 'fetchWeights', FETCH_OPTIONS);
  const { cache = new WeightsCache(), signal, onNotice } = options;
  const found = await findVerified(file, cache, options);
  if (found !== undefined) return { ...found, isNew: false };
  await makeFolder(cache.folder, {
    Failure: DownloadError,
    fix: 'name a folder that you may write into with --cache-dir or UDIT_CACHE',
  });
  await expectAccepted(file, cache, options);
  const onWait = ({ processId }: LockHolder) =>
    onNotice?.(`process ${processId} is fetching it already: waiting`);
  return withLock(`${cache.pathOf(file)}.lock`, { signal, onWait, Failure: DownloadError }, async () => {
    const foundMeanwhile = await cache.find(file);
    if (foundMeanwhile !== undefined) return { ...foundMeanwhile, isNew: false };
    return { ...(await downloadTo(cache, file, options)), isNew: true };
  });
}

/** The file in the cache; one that has changed there since it came is removed. */
async function findVerified(
  file: PublishedFile,
  cache: WeightsCache,
  { offline = false, signal, onProgress, onNotice }: FetchOptions,
): Promise<CachedWeights | undefined> {
  const found = await cache.find(file);
  if (found === undefined) {
    if (offline) throw notCachedError(file, cache);
    return undefined;
  }
  const onRead = (bytes: number, totalBytes: number) => onProgress?.({ phase: 'reading', bytes, totalBytes });
  const sha256 = await sha256OfFile(found.path, { signal, onRead });
  if (sha256 === found.sha256) return found;
  if (offline) {
    throw new DownloadError({
      where: found.path,
      problem: 'has changed since it was fetched',
      facts: [
        ['SHA-256 now', sha256],
        ['SHA-256 then', found.sha256],
      ],
      fix: 'run the command without --offline to fetch it again',
    });
  }
  onNotice?.(`${found.path} has changed since it was fetched: fetching it again`);
  await rm(found.path, { force: true });
  return undefined;
}

async function expectAccepted(
  file: PublishedFile,
  cache: WeightsCache,
  { acceptLicence }: FetchOptions,
): Promise<void> {
  if (await cache.isAccepted(file.licence)) return;
  const licence = LICENCES[file.licence];
  if ((await acceptLicence?.(licence, file)) === true) return cache.accept(file.licence);
  throw new ConfigError({
    where: file.name,
    problem: `its licence has not been accepted: ${describeLicence(licence)}`,
    facts: [
      ['text', licence.url],
      ['stated at', file.page],
    ],
    fix: 'read it, then run the command again with --accept-license',
  });
}

async function downloadTo(
  cache: WeightsCache,
  file: PublishedFile,
  options: FetchOptions,
): Promise<CachedWeights> {
  const { mirror, variables = process.env } = options;
  const source = downloadSource(file, { mirror, variables });
  const earlier = await cache.recordOf(file);
  const partPath = cache.partPathOf(file);
  const { bytes, sha256, announcedSha256 } = await download(
    {
      source,
      partPath,
      bytes: file.size.exact ? file.size.bytes : earlier?.bytes,
      sha256: file.sha256 ?? earlier?.sha256,
      otherFileFix:
        file.sha256 === undefined && earlier !== undefined
          ? `if its publisher has replaced the file since, delete ${cache.recordPathOf(file)} and run the command again`
          : 'run the command again, or give another server with --mirror',
    },
    options,
  );
  const path = cache.pathOf(file);
  const hashSource = hashSourceOf(file, earlier, announcedSha256);
  const record = { url: source.url, bytes, sha256, hashSource };
  await cache.record(file, record);
  await rename(partPath, path);
  await removePart(partPath);
  return { ...record, path };
}

function hashSourceOf(
  file: PublishedFile,
  earlier: WeightsRecord | undefined,
  announcedSha256: string | undefined,
): HashSource {
  if (file.sha256 !== undefined) return 'catalogue';
  return earlier?.hashSource ?? (announcedSha256 === undefined ? 'first download' : 'server');
}

/**
 * The path of the cached file that `name` means; undefined if no published weights have this name.
 *
 * @throws DownloadError if they are not in the cache
 * @throws ConfigError if they are of another kind
 */
export async function locatePublished(
  name: string,
  kind: PublishedFile['kind'],
  given?: WeightsCache,
): Promise<string | undefined> {
  const file = findPublished(name);
  if (file === undefined) return undefined;
  if (file.kind !== kind) {
    throw new ConfigError({
      where: file.name,
      problem: `this is of kind "${file.kind}"; kind "${kind}" is needed`,
      fix: `choose another: ${uditCommand('fetch', '--list')}`,
    });
  }
  const cache = given ?? new WeightsCache();
  const found = await cache.find(file);
  if (found === undefined) throw notCachedError(file, cache, { absent: true });
  return found.path;
}

function notCachedError(
  { name, size }: PublishedFile,
  { folder }: WeightsCache,
  details: Pick<ErrorDetails, 'absent'> = {},
): DownloadError {
  return new DownloadError({
    ...details,
    where: name,
    problem: `these published weights are not in the cache, ${folder}`,
    fix: `fetch them with: ${uditCommand('fetch', name)} (${formatBytes(size.bytes)})`,
  });
}
