/** @file Pictures that `udit train --autoencoder` is given: they are encoded once, and trained on as latents. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { uditCommand } from '../core/command.ts';
import { ConfigError } from '../core/errors.ts';
import { parseImageSize } from '../core/image-size.ts';
import { backgroundOf, dataName } from '../data/datasets/data-config.ts';
import { LATENTS_FILE } from '../data/datasets/latents/latent-card.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { cacheFolder } from '../host/files/cache-folder-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { openAutoencoder, pathOf } from '../models/open-autoencoder-node.ts';
import { weightsHash } from '../models/weights-hash-node.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import { openPictures } from '../tasks/encoding/picture-files-node.ts';
import { type ConfigLayer, isLayer } from '../tasks/training/config/config-layer.ts';
import { resolveRunConfig, trainsAutoencoder } from '../tasks/training/config/train-config.ts';
import type { DeviceFlag } from './device-flag.ts';
import { encodeWithProgress } from './encode-progress.ts';
import type { Terminal } from './terminal.ts';

interface EncodingFlags extends DeviceFlag {
  readonly autoencoder?: string;
  readonly threads?: number;
  readonly dryRun?: true;
}

/**
 * Layers whose pictures are latents, in a folder of the cache that belongs to pictures, size and autoencoder. Others are
 * given back as they are.
 *
 * @throws ConfigError in a dry run, if the pictures are not encoded yet
 */
export async function withLatents(
  layers: readonly ConfigLayer[],
  { autoencoder: name, threads = physicalCores(), dryRun, device }: EncodingFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<ConfigLayer[]> {
  const namesData = layers.some(
    ({ data }) => isLayer(data) && (data.path !== undefined || data.kind !== undefined),
  );
  if (name === undefined || !namesData) return [...layers];
  const config = resolveRunConfig(layers);
  const { data } = config;
  if (data.kind === 'latents' || trainsAutoencoder(config)) return [...layers];
  const place = 'path' in data ? resolve(data.path) : data.kind;
  const source = await openPictures(place);
  const autoencoder = await openAutoencoder(name);
  try {
    const isSized = layers.some((layer) => isLayer(layer.data) && layer.data.imageSize !== undefined);
    const size = isSized ? parseImageSize(data.imageSize) : trainedSizeOf(autoencoder.network.config);
    const background = backgroundOf(data);
    const identity = JSON.stringify([
      ...[place, source.identity, size, background, await weightsHash(autoencoder.weights)],
    ]);
    const key = createHash('sha256').update(identity).digest('hex').slice(0, 24);
    // The run is named by the last part of the path.
    const out = join(cacheFolder(), 'encoded', key, basename(place));
    if (dryRun === true && !existsSync(join(out, LATENTS_FILE))) {
      throw new ConfigError({
        where: '--dry-run',
        problem: `the pictures of ${dataName(data)} have to be encoded first`,
        fix: `leave --dry-run out, or run ${uditCommand('encode')} and give its folder with --data-path`,
      });
    }
    const backend = await openDevice(device);
    await encodeWithProgress(
      {
        ...{ source, out, autoencoder, size, background, backend, workers: threads, signal },
        autoencoderPath: pathOf(name),
      },
      terminal,
    );
    return [...layers, { data: { kind: 'latents', path: out } }];
  } finally {
    await autoencoder.close();
  }
}
