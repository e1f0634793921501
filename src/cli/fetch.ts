/** @file `udit fetch`: published weights by name, into the cache. */
import type { Command } from 'commander';
import { CATALOGUE, publishedFile } from '../models/hub/catalogue.ts';
import { fetchWeights } from '../models/hub/fetch-weights-node.ts';
import { WeightsCache } from '../models/hub/weights-cache-node.ts';
import { interruptible } from './failures.ts';
import { describeFetched, describeList, describeTerms, watchFetch } from './fetch-report.ts';
import { numberIn, wholeNumber } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';

interface FetchFlags {
  readonly list?: true;
  readonly acceptLicense?: true;
  readonly offline?: true;
  readonly mirror?: string;
  readonly cacheDir?: string;
  readonly timeout: number;
  readonly retries: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  npx udit fetch --list                              all published weights, and those in the cache
  npx udit fetch U-DiT-S-400k                        shows the licence and asks, once
  npx udit fetch DiT-XL-2-256x256 --accept-license   in a script, without a question
  npx udit fetch U-DiT-S-400k --offline --json       the path of the verified file on this machine

An interrupted download continues. The cache is $UDIT_CACHE, else the
platform's folder for caches. $UDIT_MIRROR is --mirror; $HF_ENDPOINT and $HF_TOKEN are used for
Hugging Face. To use a proxy set NODE_USE_ENV_PROXY=1 (Node 22.21, 24 and newer).
`;

export function defineFetch(command: Command, terminal: Terminal): void {
  command
    .argument('[name]', 'name of the weights; without a name all are listed')
    .option('--list', 'list all published weights, with size, licence and whether they are in the cache')
    .option('--accept-license', 'accept the licence of these weights; remembered')
    .option('--offline', 'use the cache only')
    .option('--mirror <url>', 'server with the same paths, in place of the original one')
    .option('--cache-dir <folder>', "cache folder (default: $UDIT_CACHE or the user's)")
    .option(
      '--timeout <s>',
      'seconds of silence after which a connection is given up',
      numberIn(0.001, 3600),
      30,
    )
    .option('--retries <n>', 'tries in a row that may fail after the first', wholeNumber({ from: 0 }), 5)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action((name: string | undefined, flags: FetchFlags) =>
      flags.list === true || name === undefined
        ? list(flags, terminal)
        : interruptible((signal) => fetchByName(name, flags, terminal, signal)),
    );
}

async function list({ cacheDir, json }: FetchFlags, terminal: Terminal): Promise<void> {
  const cache = new WeightsCache(cacheDir);
  const entries = await Promise.all(
    CATALOGUE.map(async (file) => ({
      file,
      cached: await cache.find(file),
      part: await cache.partOf(file),
    })),
  );
  terminal.out.write(describeList(entries, cache.folder, json === true));
}

async function fetchByName(
  name: string,
  flags: FetchFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const file = publishedFile(name);
  if (flags.cacheDir !== undefined) await expectHarmlessOutputs('--cache-dir', [flags.cacheDir]);
  const watcher = watchFetch(terminal, file);
  try {
    const fetched = await fetchWeights(file, {
      cache: new WeightsCache(flags.cacheDir),
      offline: flags.offline,
      mirror: flags.mirror,
      signal,
      idleTimeoutMs: flags.timeout * 1000,
      retries: flags.retries,
      onProgress: watcher.update,
      onNotice: watcher.say,
      acceptLicence: async () => {
        const canAsk = flags.acceptLicense !== true && terminal.ask !== undefined;
        if (canAsk || flags.acceptLicense === true) terminal.err.write(describeTerms(file));
        if (!canAsk) return flags.acceptLicense === true;
        return /^y(?:es)?$/i.test((await terminal.ask('Accept this licence? [y/N] ', signal)).trim());
      },
    });
    watcher.stop();
    terminal.out.write(describeFetched(file, fetched, flags.json === true));
  } finally {
    watcher.stop();
  }
}
