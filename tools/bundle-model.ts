/**
 * @file Makes the model that comes with the package from a training checkpoint: its averaged weights at half precision.
 * Usage: tsx tools/bundle-model.ts runs/NAME weights/u-dit-xs-emoji.safetensors
 */
import { writeSafetensors } from '../src/checkpoint/file-node.ts';
import { locateCheckpoint, openCheckpoint } from '../src/cli/checkpoint-argument.ts';
import { cardMetadata } from '../src/saved-model/saved-model.ts';

const [run, target] = process.argv.slice(2);
if (run === undefined || target === undefined) throw new Error('usage: tsx tools/bundle-model.ts RUN TARGET');
const { card, weights } = await openCheckpoint(await locateCheckpoint(run), { weights: 'ema' });
await writeSafetensors(target, weights, { ...cardMetadata(card), weights: 'ema' }, { floats: 'f16' });
console.log(`${target}: ${card.name}, step ${card.step}, ${card.nimg} images seen`);
