/**
 * @file Downloads a file through whatever interrupts it: what has arrived is kept and hashed, and each further try asks
 * for the rest alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes } from '../../core/byte-size.ts';
import { DownloadError } from '../../core/errors.ts';
import type { DownloadSource } from './download-source.ts';
import { FailedTry, type FileResponse, requestFile } from './file-request.ts';
import { expectRoom, PartFile, removePart } from './part-file-node.ts';

export interface DownloadProgress {
  /** Hashing what an earlier run has left, or receiving the rest. */
  readonly phase: 'reading' | 'receiving';
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Told of what goes wrong without ending the download, and of what is kept when it ends. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** A connection on which nothing comes for so long is given up. Default 30 s. */
  readonly idleTimeoutMs?: number | undefined;
  /** Tries after the first that may fail in a row. Default 5. */
  readonly retries?: number | undefined;
  /** Pause before the first retry; it doubles each time. Default 1 s. */
  readonly retryDelayMs?: number | undefined;
}

export interface DownloadRequest {
  readonly source: DownloadSource;
  /** Where the bytes are kept on their way; afterwards it holds the whole file. */
  readonly partPath: string;
  /** What is known of the file. Without a hash, a part of unknown version is not continued. */
  readonly bytes: number | undefined;
  readonly sha256: string | undefined;
  /** What to do when the server has another file. */
  readonly otherFileFix: string;
}

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  /** SHA-256 as the server announced it, if it did. */
  readonly announcedSha256: string | undefined;
}

/** A try that brings so much was no failure, though its connection broke. */
const PROGRESS_BYTES = 2 ** 20;
/** Pauses grow up to here; longer ones, which a server asks for, are for people to decide on. */
const LONGEST_WAIT_MS = 60_000;

/**
 * Fetches the file into `partPath`, going on from what is there.
 *
 * @throws DownloadError if it cannot be had, when what has arrived stays where it is, or if it is another file, when
 *   nothing does
 */
export async function download(request: DownloadRequest, options: DownloadOptions = {}): Promise<Downloaded> {
  const { source, partPath } = request;
  const { signal, onProgress, onNotice } = options;
  const part = await PartFile.open(partPath, source.url, {
    signal,
    onRead: (bytes, totalBytes) => onProgress?.({ phase: 'reading', bytes, totalBytes }),
  });
  try {
    const announcedSha256 = await receiveAll(part, request, options);
    await part.sync();
    const received = { bytes: part.bytes, sha256: part.digest(), announcedSha256 };
    const expected = request.sha256 ?? announcedSha256;
    if (expected !== undefined && received.sha256 !== expected) {
      await part.drop();
      throw otherFileError(request, 'what came is not the published file', [received.sha256, expected]);
    }
    return received;
  } catch (error) {
    const isStopped = signal?.aborted === true && part.bytes > 0;
    if (isStopped) onNotice?.(`${describeKept(part)}: the same command goes on from there`);
    throw error;
  } finally {
    await part.close();
    if (part.bytes === 0) await removePart(partPath);
  }
}

/** @returns the hash that the server announced */
async function receiveAll(
  part: PartFile,
  request: DownloadRequest,
  options: DownloadOptions,
): Promise<string | undefined> {
  const { signal, onNotice, retries = 5, retryDelayMs = 1000 } = options;
  const { url } = request.source;
  let wasReached = false;
  for (let failures = 0; ; ) {
    const before = part.bytes;
    try {
      const tried = await receive(part, request, options);
      if (tried.isComplete) return tried.announcedSha256;
      wasReached = true;
    } catch (error) {
      if (!(error instanceof FailedTry)) throw error;
      if (error.kind === 'unreachable' && !wasReached) throw unreachableError(url, error);
      wasReached = true;
      failures = part.bytes - before >= PROGRESS_BYTES ? 1 : failures + 1;
      const pauseMs = error.retryAfterMs ?? Math.min(LONGEST_WAIT_MS, retryDelayMs * 2 ** (failures - 1));
      if (failures > retries || pauseMs > LONGEST_WAIT_MS) throw gaveUpError(url, part, error, failures);
      onNotice?.(`${error.message}; trying again in ${Math.ceil(pauseMs / 1000)} s`);
      await sleep(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      signal?.throwIfAborted();
    }
  }
}

/** One try. It is complete, or has found that the part must start over, or throws. */
async function receive(
  part: PartFile,
  request: DownloadRequest,
  { signal, onProgress, onNotice, idleTimeoutMs = 30_000 }: DownloadOptions,
): Promise<{ readonly isComplete: boolean; readonly announcedSha256?: string | undefined }> {
  const { source, bytes: knownBytes, sha256 } = request;
  const watchdog = startWatchdog(idleTimeoutMs, signal);
  try {
    const { validator } = part.origin ?? {};
    const offset = validator !== undefined || sha256 !== undefined ? part.bytes : 0;
    const response = await requestFile({ source, offset, validator, signal: watchdog.signal });
    watchdog.rest();
    const { announcedSha256 } = response;
    if (response.content === 'none' && offset === (response.totalBytes ?? part.origin?.totalBytes)) {
      return { isComplete: true, announcedSha256 };
    }
    const totalBytes = response.totalBytes ?? knownBytes;
    if (response.content !== 'none') expectSameFile(request, response);
    if (!goesOn(response, part)) {
      const dropped = formatBytes(part.bytes);
      if (part.bytes > 0) onNotice?.(`the server does not go on from ${dropped}: starting over`);
      await part.restart({ url: source.url, validator: response.validator, totalBytes });
      if (response.content !== 'whole') return { isComplete: false };
    }
    if (totalBytes !== undefined) await expectRoom(part, totalBytes);
    onProgress?.({ phase: 'receiving', bytes: part.bytes, totalBytes });
    watchdog.listen();
    for await (const chunk of response.body) {
      watchdog.rest();
      if (totalBytes !== undefined && part.bytes + chunk.length > totalBytes) {
        await part.drop();
        throw otherFileError(request, 'the server sends more bytes than it says', [
          `more than ${totalBytes}`,
          `${totalBytes}`,
        ]);
      }
      await part.append(chunk);
      onProgress?.({ phase: 'receiving', bytes: part.bytes, totalBytes });
      watchdog.listen();
    }
    if (totalBytes !== undefined && part.bytes < totalBytes) {
      throw new FailedTry(`the connection ended after ${part.bytes} of ${totalBytes} bytes`);
    }
    return { isComplete: true, announcedSha256 };
  } catch (error) {
    watchdog.signal.throwIfAborted();
    throw error;
  } finally {
    watchdog.stop();
  }
}

/** Is the answer the rest of the file that the part is of? */
function goesOn({ content, validator }: FileResponse, part: PartFile): boolean {
  const before = part.origin?.validator;
  return content === 'rest' && (validator === undefined || before === undefined || validator === before);
}

/** Aborts its signal after so long a silence while it listens, and with `signal`. */
function startWatchdog(idleTimeoutMs: number, signal: AbortSignal | undefined) {
  const controller = new AbortController();
  const bark = () => controller.abort(new FailedTry(`nothing came for ${idleTimeoutMs / 1000} s`));
  let timer = setTimeout(bark, idleTimeoutMs);
  return {
    signal: signal === undefined ? controller.signal : AbortSignal.any([controller.signal, signal]),
    listen() {
      timer = setTimeout(bark, idleTimeoutMs);
    },
    /** A slow disk is no silence of the server. */
    rest: () => clearTimeout(timer),
    /** Ends the connection too, where it is still open. */
    stop() {
      clearTimeout(timer);
      controller.abort();
    },
  };
}

function expectSameFile(request: DownloadRequest, { totalBytes, announcedSha256 }: FileResponse): void {
  const { source, bytes, sha256 } = request;
  if (totalBytes === 0) throw new FailedTry('the server sends an empty file');
  if (totalBytes !== undefined && bytes !== undefined && totalBytes !== bytes) {
    throw otherFileError(request, 'the server has a file of another size', [
      `${totalBytes} bytes`,
      `${bytes} bytes`,
    ]);
  }
  if (announcedSha256 !== undefined && sha256 !== undefined && announcedSha256 !== sha256) {
    throw otherFileError(request, 'the server has another file', [announcedSha256, sha256]);
  }
  if (totalBytes === undefined && bytes === undefined && sha256 === undefined) {
    throw new DownloadError({
      where: source.url,
      problem: 'the server does not give the length of the file, so a complete download cannot be recognised',
      fix: 'give another server with --mirror',
    });
  }
}

/** @param values - SHA-256 or size, as received and as expected */
function otherFileError(
  { source, otherFileFix }: DownloadRequest,
  problem: string,
  [received, expected]: readonly [string, string],
): DownloadError {
  return new DownloadError({
    where: source.url,
    problem,
    facts: [
      ['received', received],
      ['expected', expected],
    ],
    fix: otherFileFix,
  });
}

function unreachableError(url: string, { message, cause }: FailedTry): DownloadError {
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env;
  const hasUnusedProxy = (HTTPS_PROXY ?? https_proxy) !== undefined && NODE_USE_ENV_PROXY === undefined;
  return new DownloadError({
    where: new URL(url).origin,
    problem: `cannot be reached (${message})`,
    fix: hasUnusedProxy
      ? 'set NODE_USE_ENV_PROXY=1, with which Node 22.21, 24 and newer use HTTPS_PROXY'
      : 'check the network, or name a server that can be reached with --mirror',
    cause,
  });
}

function gaveUpError(
  url: string,
  part: PartFile,
  { message, retryAfterMs, cause }: FailedTry,
  failures: number,
) {
  const waitMs = retryAfterMs ?? 0;
  const patience = waitMs > LONGEST_WAIT_MS ? `, and asks to wait ${Math.ceil(waitMs / 1000)} s` : '';
  const times = failures === 1 ? '' : `, ${failures} times in a row`;
  return new DownloadError({
    where: url,
    problem: `${message}${times}${patience}; ${describeKept(part)}`,
    fix: part.bytes === 0 ? 'try again later' : 'run the same command later: it continues from there',
    cause,
  });
}

/** `12.3 MB of 236 MB are kept` */
function describeKept({ bytes, origin }: PartFile): string {
  if (bytes === 0) return 'nothing has arrived';
  const total = origin?.totalBytes === undefined ? '' : ` of ${formatBytes(origin.totalBytes)}`;
  return `${formatBytes(bytes)}${total} are kept`;
}
