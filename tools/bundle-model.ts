/**
 * @file Makes the model that comes with the package from a training checkpoint: its averaged weights at half precision.
 * Usage: tsx tools/bundle-model.ts runs/NAME weights/u-dit-xs-emoji.safetensors
 */
import { locateCheckpoint, openCheckpoint } from '../src/cli/checkpoint-argument.ts';
import { writeModel } from '../src/saved-model/write-model-node.ts';

const [run, target] = process.argv.slice(2);
if (run === undefined || target === undefined) throw new Error('usage: tsx tools/bundle-model.ts RUN TARGET');
const saved = await openCheckpoint(await locateCheckpoint(run), { weights: 'ema' });
const { card } = saved;
await writeModel(target, saved, { floats: 'f16' });
console.log(`${target}: ${card.name}, step ${card.step}, ${card.nimg} images seen`);
