/**
 * @file Makes a network that comes with the package from a training checkpoint: its averaged weights at half precision. An
 * autoencoder is called by its name from then on, so pictures are to be encoded with the bundled one.
 * Usage: tsx tools/bundle-model.ts runs/NAME u-dit-xs-emoji [pictures that its initial weights had seen]
 */
import type { LatentSpace } from '../src/core/image-space.ts';
import { readTensors } from '../src/core/tensor-source.ts';
import { BUNDLED_NAMES, bundledFile } from '../src/models/bundled-files-node.ts';
import { findAnyCheckpoint, locateCheckpoint } from '../src/models/bundled-node.ts';
import type { NetworkCard } from '../src/models/saved-model.ts';
import { writeModel } from '../src/models/write-model-node.ts';

/** Measured: docs/guides/choosing-a-sampler.md. */
const GUIDANCE = { cfgInterval: [0.05, 0.8] } as const;

const [run, name = '', seenBefore = '0'] = process.argv.slice(2);
const target = bundledFile(name);
if (run === undefined || target === undefined)
  throw new Error(`usage: tsx tools/bundle-model.ts RUN ${BUNDLED_NAMES.join('|')} [SEEN BEFORE]`);
const { close, ...found } = await findAnyCheckpoint(await locateCheckpoint(run), { weights: 'ema' });
const card = bundledCard(found.card);
const weights = await readTensors(found.weights);
await writeModel(target, { card, weights, source: found.source }, { floats: 'f16' });
await close();
console.log(`${target}: ${card.name}, step ${card.step}, ${card.nimg} images seen`);

function bundledCard(own: NetworkCard): NetworkCard {
  const nimg = own.nimg + Number(seenBefore);
  if (own.role === 'features') throw new Error('feature networks are fetched, not bundled');
  if (own.role !== 'autoencoder') return { ...own, nimg, guidance: GUIDANCE };
  const space: LatentSpace = { ...own.space, autoencoder: name };
  return { ...own, name, nimg, space };
}
