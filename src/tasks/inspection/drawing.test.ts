import sharp from 'sharp';
import { expect, test } from 'vitest';
import { presetSpec } from '../../networks/presets.ts';
import { drawModel } from './drawing.ts';
import { inspectModel } from './inspect.ts';

const draw = (name: string, change = {}) => drawModel(name, inspectModel(presetSpec(name, change)));

/** Attention's colour, which every block has exactly once and nothing but the legend beside. */
const blocksIn = (svg: string) => svg.split('fill="#e4572e"').length - 2;
const arrowsIn = (svg: string) => svg.split('marker-end').length - 1;
const textsIn = (svg: string) => [...svg.matchAll(/<text [^>]*>([^<]*)</g)].map(([, content]) => content);

test('the picture in the documents is what is drawn', async () => {
  await expect(draw('U-DiT-S')).toMatchFileSnapshot('../../../docs/images/u-dit-s.svg');
});

test('a U has a bar per block, its flow, and its skip connections', () => {
  const svg = draw('U-DiT-S');
  expect(blocksIn(svg)).toBe(2 + 5 + 8 + 5 + 2);
  // stem → encoder 1 → encoder 2 → bottleneck → decoder 2 → decoder 1 → output
  expect(arrowsIn(svg)).toBe(6 + 2);
  expect(svg.split('stroke-dasharray')).toHaveLength(1 + 2);
  expect(textsIn(svg)).toEqual(
    expect.arrayContaining(['U-DiT-S', 'encoder 2', '16×16 · 192 wide', '5 blocks · 4 heads', '0.90 GMACs']),
  );
});

test('a model of one width is a column', () => {
  const svg = draw('DiT-S/2');
  expect(blocksIn(svg)).toBe(12);
  expect(arrowsIn(svg)).toBe(2);
  expect(svg).not.toContain('stroke-dasharray');
  expect(textsIn(svg)).toContain('12 blocks · 6 heads');
});

test('one block and one head are no plurals; names are escaped', () => {
  const inspection = inspectModel(presetSpec('U-DiT-XS', { heads: 1 }));
  expect(textsIn(drawModel('a <b> & c', inspection))).toEqual(
    expect.arrayContaining(['1 block · 1 head', 'a &lt;b&gt; &amp; c']),
  );
});

test.each(['U-DiT-L', 'U-DiT-XS', 'DiT-XL/2', 'DiT-S/8'])('%s is drawn inside its frame', async (name) => {
  const onWhite = await sharp(Buffer.from(draw(name)))
    .flatten({ background: '#ffffff' })
    .png()
    .toBuffer();
  const { width, height } = await sharp(onWhite).metadata();
  const { info } = await sharp(onWhite).trim({ background: '#ffffff' }).toBuffer({ resolveWithObject: true });
  const [left, top] = [-info.trimOffsetLeft!, -info.trimOffsetTop!];
  const margins = { left, top, right: width - left - info.width, bottom: height - top - info.height };
  for (const [side, margin] of Object.entries(margins)) {
    expect(margin, side).toBeGreaterThan(8);
    expect(margin, side).toBeLessThan(110);
  }
});
