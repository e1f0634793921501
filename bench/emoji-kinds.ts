/**
 * @file Writes the animals and the food of the rendered emoji as a folder of pictures for each of ten kinds, for the guide on
 * fine-tuning.
 *
 *     npx tsx bench/emoji-kinds.ts [folder] [image size]
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openEmoji, writePng } from '../src/doors/node.ts';
import { tensorOf, toPixels } from '../src/index.ts';

const [folder = 'kinds', imageSize = '64'] = process.argv.slice(2);

/** Unicode orders emoji by kinds: each begins with this one. */
const FIRST_OF_KIND: Readonly<Record<string, string>> = {
  'monkey face': 'mammals',
  turkey: 'birds',
  frog: 'reptiles',
  'spouting whale': 'sea animals',
  snail: 'insects',
  bouquet: 'plants',
  grapes: 'fruit and vegetables',
  bread: 'dishes',
  'soft ice cream': 'sweets',
  'baby bottle': 'drinks',
};
const CATEGORIES = ['Animals & Nature', 'Food & Drink'];

const emoji = await openEmoji({ artwork: 'fluent-3d', imageSize, augment: 'none' });
const [channels, height, width] = emoji.shape;
const values = new Float32Array(channels * height * width);
const counts = new Map(Object.values(FIRST_OF_KIND).map((kind) => [kind, 0]));
let kind = '';
for (const [index, title] of emoji.titles.entries()) {
  if (!CATEGORIES.includes(emoji.classNames[emoji.labels[index]!]!)) continue;
  kind = FIRST_OF_KIND[title] ?? kind;
  await emoji.read(index, null, values);
  const { data } = toPixels(tensorOf('f32', [1, channels, height, width], values));
  await mkdir(join(folder, kind), { recursive: true });
  await writePng(join(folder, kind, `${title}.png`), { width, height, channels, data });
  counts.set(kind, counts.get(kind)! + 1);
}
console.log([...counts].map(([name, count]) => `${name} ${count}`).join(', '));
