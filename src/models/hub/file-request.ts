/** @file One request for a file or the rest of it, and what the server says about the file. */
import { DownloadError } from '../../core/errors.ts';
import type { DownloadSource } from './download-source.ts';

/** A try that failed in a way that another may not. */
export class FailedTry extends Error {
  /** `unreachable` means that no connection was made at all. */
  readonly kind: 'unreachable' | 'interrupted';
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    {
      kind = 'interrupted',
      retryAfterMs,
      cause,
    }: Partial<Pick<FailedTry, 'kind' | 'retryAfterMs' | 'cause'>> = {},
  ) {
    super(message, { cause });
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface FileRequest {
  readonly source: DownloadSource;
  /** Bytes that are here already. */
  readonly offset: number;
  /** What identified the file when they came: the rest is sent only if it is still the same. */
  readonly validator: string | undefined;
  readonly signal: AbortSignal;
}

export interface FileResponse {
  /** From the start, from `offset`, or nothing that goes on from there, as when the file ends there. */
  readonly content: 'whole' | 'rest' | 'none';
  /** Size of the whole file, unless the server does not say. */
  readonly totalBytes: number | undefined;
  /** A strong entity tag, or the date of the last change. */
  readonly validator: string | undefined;
  /** SHA-256 of the file as Hugging Face announces it. */
  readonly announcedSha256: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

const MAX_REDIRECTS = 10;
const REDIRECTIONS = [301, 302, 303, 307, 308];
/** Statuses that pass; 429 is "too many requests". */
const PASSING = [408, 425, 429, 500, 502, 503, 504];
/** Codes of connections that broke, as opposed to those that could not be made. */
const BROKEN = /^(?:ECONNRESET|EPIPE|ETIMEDOUT|UND_ERR_SOCKET|UND_ERR_(?:CONNECT|HEADERS|BODY)_TIMEOUT)$/;

/**
 * The caller aborts `signal` when it is done, which also ends bodies that are not read.
 *
 * @throws FailedTry for what may pass
 * @throws DownloadError for what will not
 */
export async function requestFile(request: FileRequest): Promise<FileResponse> {
  const { source, offset } = request;
  let announcedSha256: string | undefined;
  let announcedBytes: number | undefined;
  let url = source.url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await send(url, request);
    announcedSha256 ??= /^"?([0-9a-f]{64})"?$/.exec(response.headers.get('x-linked-etag') ?? '')?.[1];
    announcedBytes ??= wholeNumberIn(response.headers.get('x-linked-size'));
    if (!REDIRECTIONS.includes(response.status)) {
      return { ...(await readResponse(url, response, source, offset, announcedBytes)), announcedSha256 };
    }
    url = redirectTarget(url, response);
  }
  throw new DownloadError({
    where: source.url,
    problem: `redirects more than ${MAX_REDIRECTS} times, at last to ${withoutQuery(url)}`,
    fix: source.advice.missing,
  });
}

async function send(url: string, { source, offset, validator, signal }: FileRequest): Promise<Response> {
  // Logins are for the server they were meant for alone.
  const login = new URL(url).origin === new URL(source.url).origin ? source.headers : {};
  const range = offset === 0 ? {} : { range: `bytes=${offset}-` };
  const condition = offset === 0 || validator === undefined ? {} : { 'if-range': validator };
  const headers = { 'accept-encoding': 'identity', ...login, ...range, ...condition };
  try {
    return await fetch(url, { headers, redirect: 'manual', signal });
  } catch (error) {
    throw explainBreak(error, signal);
  }
}

function redirectTarget(url: string, response: Response): string {
  const location = response.headers.get('location') ?? '';
  const target = URL.canParse(location, url) ? new URL(location, url) : undefined;
  if (target !== undefined && (target.protocol === 'https:' || target.protocol === new URL(url).protocol)) {
    return target.href;
  }
  throw new DownloadError({
    where: withoutQuery(url),
    problem: `redirects to "${withoutQuery(location)}", which is no safe address`,
    fix: 'give another server with --mirror',
  });
}

async function readResponse(
  url: string,
  response: Response,
  source: DownloadSource,
  offset: number,
  announcedBytes: number | undefined,
): Promise<Omit<FileResponse, 'announcedSha256'>> {
  const { status, headers } = response;
  const body = received(response);
  const validator = validatorOf(headers);
  if (status === 206) {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
    const totalBytes = wholeNumberIn(total) ?? announcedBytes;
    if (Number(start) === offset) {
      return { content: offset === 0 ? 'whole' : 'rest', totalBytes, validator, body };
    }
    if (offset > 0) return { content: 'none', totalBytes: undefined, validator, body };
  }
  if (status === 416 && offset > 0) {
    const [, total] = /^bytes \*\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
    return { content: 'none', totalBytes: wholeNumberIn(total), validator, body };
  }
  if (status === 200) {
    if (!/^text\/html\b/.test(headers.get('content-type') ?? '')) {
      const totalBytes = wholeNumberIn(headers.get('content-length')) ?? announcedBytes;
      return { content: 'whole', totalBytes, validator, body };
    }
    throw new DownloadError({
      where: withoutQuery(url),
      problem: 'answers with a web page in place of the file',
      fix: 'open the address in a browser: the network may ask for a login',
    });
  }
  throw refusal(url, response, source);
}

function refusal(url: string, { status, statusText, headers }: Response, { advice }: DownloadSource): Error {
  const answer = `${status} ${statusText}`.trim();
  if (PASSING.includes(status)) {
    return new FailedTry(`the server answers ${answer}`, {
      retryAfterMs: retryAfterMs(headers.get('retry-after')),
    });
  }
  const isRefused = status === 401 || status === 403;
  const isMissing = status === 404 || status === 410;
  const meaning = isRefused ? 'refuses to send it' : isMissing ? 'has no such file' : 'cannot send it';
  return new DownloadError({
    where: withoutQuery(url),
    problem: `the server ${meaning} (${answer})`,
    fix: isRefused ? advice.refused : advice.missing,
  });
}

/** The content; a connection that breaks is a {@link FailedTry}. */
async function* received({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  try {
    yield* body as unknown as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw explainBreak(error);
  }
}

function explainBreak(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted === true || !(error instanceof TypeError)) return error;
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause ? String(cause.code) : undefined;
  if (code !== undefined && BROKEN.test(code)) {
    return new FailedTry(`the connection broke (${code})`, { cause });
  }
  return new FailedTry(cause.message || code || error.message, { kind: 'unreachable', cause });
}

/** Weak tags are of no use: two files may share one. */
function validatorOf(headers: Headers): string | undefined {
  const tag = headers.get('etag');
  if (tag?.startsWith('"') === true) return tag;
  return headers.get('last-modified') ?? undefined;
}

/** The header's value in milliseconds from now; it holds seconds or a date. */
function retryAfterMs(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function wholeNumberIn(text: string | null | undefined): number | undefined {
  return text != null && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Redirects carry signatures in their query, which are nobody's business. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, '');
}
