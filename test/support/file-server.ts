/** @file A web server on this machine that behaves as servers on the way to published weights do, badly included. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers one request. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface FileServer {
  readonly origin: string;
  /** Method, path and headers of the requests so far. */
  readonly requests: readonly IncomingMessage[];
  close(): Promise<void>;
}

/** Each request gets the next answer; the last one serves all that follow. */
export async function startFileServer(...answers: readonly Answer[]): Promise<FileServer> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)]!;
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface FileOptions {
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What becomes of the connection after so many of the bytes that were asked for. */
  readonly cut?: { readonly after: number; readonly how: 'close' | 'reset' | 'stall' };
  /** Have so many bytes of the file arrived? Those on their way are lost when a connection ends. Default: yes. */
  readonly haveArrived?: (bytes: number) => boolean;
  /** Serves parts of the file, as long as the client has the same one. Default true. */
  readonly ranges?: boolean;
}

/** Serves `content` as a good server does, up to the point where it does not. */
export function file(content: Uint8Array, options: FileOptions = {}): Answer {
  const { etag = '"version 1"', headers, cut, haveArrived = () => true, ranges = true } = options;
  return (request, response) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const isPart = ranges && isSame && start > 0;
    if (isPart && start >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
      return;
    }
    const body = isPart ? content.subarray(start) : content;
    const range = isPart ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {};
    response.writeHead(isPart ? 206 : 200, { 'content-length': body.length, etag, ...range, ...headers });
    if (cut === undefined) {
      response.end(body);
      return;
    }
    response.write(body.subarray(0, cut.after));
    const waiting = setInterval(() => {
      if (!haveArrived((isPart ? start : 0) + cut.after)) return;
      clearInterval(waiting);
      if (cut.how === 'close') response.destroy();
      if (cut.how === 'reset') request.socket.resetAndDestroy();
    }, 5);
    request.socket.once('close', () => clearInterval(waiting));
  };
}

export function status(code: number, headers: Readonly<Record<string, string>> = {}, body = ''): Answer {
  return (_, response) => response.writeHead(code, headers).end(body);
}

export function redirect(location: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return status(302, { location, ...headers });
}

/** Writes exactly this to the connection and closes it. */
export function raw(...parts: readonly (string | Uint8Array)[]): Answer {
  return (request) => {
    for (const part of parts) request.socket.write(part);
    request.socket.end();
  };
}
