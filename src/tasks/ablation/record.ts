/** @file What an ablation remembers between its sessions: small JSON files, each whole or absent. */

import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { readJson } from '../../host/files/read-json-node.ts';
import { type ConfigLayer, isLayer } from '../training/config/config-layer.ts';

/** Undefined where there is none, or where somebody has damaged it: what it remembers is then found out anew. */
export async function readRecord(path: string): Promise<ConfigLayer | undefined> {
  const record = await readJson(path).catch(() => undefined);
  return isLayer(record) ? record : undefined;
}

export async function writeRecord(path: string, record: ConfigLayer): Promise<void> {
  await writeFileAtomic(path, [new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`)]);
}
