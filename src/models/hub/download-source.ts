/** @file Where a published file is downloaded from: its own server, or one that stands in for it. */
import { ConfigError } from '../../core/errors.ts';
import { HUGGING_FACE, type PublishedFile } from './catalogue.ts';

export interface DownloadSource {
  readonly url: string;
  /** Such as a login; never sent on to a server that this one redirects to. */
  readonly headers: Readonly<Record<string, string>>;
  /** What helps when the server refuses. */
  readonly advice: { readonly refused: string; readonly missing: string };
}

export interface SourceOptions {
  /** Root of a server with the same paths; `$UDIT_MIRROR` by default. */
  readonly mirror?: string | undefined;
  /** The process's environment: `UDIT_MIRROR`, `HF_ENDPOINT` and `HF_TOKEN` are looked at. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * A mirror takes the place of any server and is never shown the token. `HF_ENDPOINT` takes the place of Hugging Face
 * alone, as it does for Hugging Face's own programs, and is.
 *
 * @throws ConfigError if a replacement is no web address
 */
export function downloadSource(
  { url, page }: PublishedFile,
  { mirror, variables }: SourceOptions,
): DownloadSource {
  const { UDIT_MIRROR, HF_ENDPOINT } = variables;
  const option = mirror === undefined ? 'UDIT_MIRROR' : '--mirror';
  const replacement = mirror ?? UDIT_MIRROR;
  if (replacement) {
    const advice = `check that ${option} has the same paths as ${new URL(url).origin}`;
    return { ...atServer(replacement, url, option), advice: { refused: advice, missing: advice } };
  }
  const missing = `see ${page}: it may have been moved`;
  if (!url.startsWith(HUGGING_FACE)) return { url, headers: {}, advice: { refused: missing, missing } };
  const source = atServer(HF_ENDPOINT || HUGGING_FACE, url, 'HF_ENDPOINT');
  const token = variables.HF_TOKEN?.trim();
  if (!token) {
    const refused = `see ${page}; if it asks for an account, set HF_TOKEN to a token of yours`;
    return { ...source, advice: { refused, missing } };
  }
  const refused = `check the token in HF_TOKEN, and at ${page} that its account may have the file`;
  return { url: source.url, headers: { authorization: `Bearer ${token}` }, advice: { refused, missing } };
}

/** The path of `url` at another server; a login in that server's address goes into a header. */
function atServer(server: string, url: string, option: string): Pick<DownloadSource, 'url' | 'headers'> {
  if (!/^https?:/.test(server) || !URL.canParse(server)) {
    throw new ConfigError({
      where: option,
      problem: `"${server}" is no web address`,
      fix: 'give the root of a server, such as https://mirror.example',
    });
  }
  const { origin, pathname, username, password } = new URL(server);
  const login = [username, password].map(decodeURIComponent).join(':');
  return {
    url: origin + pathname.replace(/\/+$/, '') + new URL(url).pathname,
    headers: login === ':' ? {} : { authorization: `Basic ${btoa(login)}` },
  };
}
