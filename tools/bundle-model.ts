/**
 * @file Makes the model that comes with the package from a training checkpoint: its averaged weights at half precision.
 * A run that began with other weights is told how many pictures those had seen.
 * Usage: tsx tools/bundle-model.ts runs/NAME weights/u-dit-xs-emoji.safetensors [pictures seen before]
 */
import { locateCheckpoint, openCheckpoint } from '../src/models/bundled-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';

/** Measured: docs/guides/choosing-a-sampler.md. */
const GUIDANCE = { cfgInterval: [0.05, 0.8] } as const;

const [run, target, seenBefore = '0'] = process.argv.slice(2);
if (run === undefined || target === undefined)
  throw new Error('usage: tsx tools/bundle-model.ts RUN TARGET [SEEN BEFORE]');
const saved = await openCheckpoint(await locateCheckpoint(run), { weights: 'ema' });
const card = { ...saved.card, nimg: saved.card.nimg + Number(seenBefore), guidance: GUIDANCE };
await writeModel(target, { ...saved, card }, { floats: 'f16' });
console.log(`${target}: ${card.name}, step ${card.step}, ${card.nimg} images seen`);
