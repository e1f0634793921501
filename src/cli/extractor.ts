/** @file The feature network that a command measures pictures with. */
import { uditCommand } from '../core/command.ts';
import { ConfigError } from '../core/errors.ts';
import { crc32OfFile } from '../host/files/digest-node.ts';
import { openCheckpoint } from '../models/bundled-node.ts';
import { locatePublished } from '../models/hub/fetch-weights-node.ts';
import type { NamedExtractor } from '../tasks/evaluation/evaluate-node.ts';
import { WITHOUT_NETWORK } from '../tasks/evaluation/scores.ts';

export const DEFAULT_EXTRACTOR = 'fid-inception';

/** @throws ConfigError that names the metrics which need no network, if there is none of this name */
export async function openExtractor(name: string): Promise<NamedExtractor> {
  const path = await locatePublished(name, 'features').catch((error: unknown) => {
    if (!(error instanceof Error)) throw error;
    throw new ConfigError({
      where: '--extractor',
      problem: `the weights of ${name} are not there`,
      fix: `fetch them with: ${uditCommand('fetch', name)}; --metrics ${WITHOUT_NETWORK.join()} needs none`,
      cause: error,
    });
  });
  const file = path ?? name;
  const saved = await openCheckpoint(file, { role: 'features' });
  const { crc32 } = await crc32OfFile(file);
  const { config } = saved.network;
  const options = 'preprocessing' in config ? `, ${String(config.preprocessing)}` : '';
  const identity = `${saved.card.name}${options}, CRC-32 ${crc32.toString(16).padStart(8, '0')}`;
  return { name: saved.card.name, identity, saved };
}
