/** @file Charts put values where they belong, say what they are, and need no font of the system as pictures. */
import { parseHTML } from 'linkedom/worker';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { drawChart, type Panel } from './chart.ts';
import { legendLayout } from './legend.ts';
import { svgToPng } from './png-node.ts';
import { seriesStyle } from './series-style.ts';

const panel = (change: Partial<Panel> = {}): Panel => ({
  kind: 'points',
  x: { label: 'GMACs' },
  y: { label: 'loss' },
  series: [
    { name: 'one', points: [{ x: 1, y: 10, deviation: 1 }] },
    { name: 'two <b> & three', points: [{ x: 3, y: 30, deviation: 2 }] },
    { name: 'none yet', points: [] },
  ],
  ...change,
});

const texts = (svg: string) =>
  [...parseHTML(svg).document.querySelectorAll('text')].map(({ textContent }) => textContent);

/** Corners of a line that Plot has drawn, `M1,2L3,4`. */
const corners = (path: string) =>
  path.match(/-?[\d.]+,-?[\d.]+/g)!.map((pair) => pair.split(',').map(Number) as [number, number]);

describe('a chart', () => {
  test('has the range that an axis is given', () => {
    const svg = drawChart('', [
      panel({ x: { label: 'recall', range: [0, 4] }, y: { label: 'loss', range: [0, 40] } }),
    ]);
    const shown = texts(svg).map(Number);
    for (const end of [0, 4, 40]) expect(shown).toContain(end);
  });

  test('has title, legend, axes and ticks', () => {
    expect(texts(drawChart('cost & quality', [panel()]))).toMatchInlineSnapshot(`
      [
        "cost & quality",
        "one",
        "two <b> & three",
        "none yet",
        "8",
        "10",
        "12",
        "14",
        "16",
        "18",
        "20",
        "22",
        "24",
        "26",
        "28",
        "30",
        "32",
        "loss",
        "1",
        "1.2",
        "1.4",
        "1.6",
        "1.8",
        "2",
        "2.2",
        "2.4",
        "2.6",
        "2.8",
        "3",
        "GMACs",
      ]
    `);
  });

  test('puts points on a linear axis in proportion', () => {
    const points = [0, 1, 4].map((x) => ({ x, y: 2 * x }));
    const svg = drawChart('', [panel({ kind: 'lines', series: [{ name: 'a', points }] })]);
    const line = /<path[^>]* d="(M[^"]*L[^"]*L[^"]*)"/.exec(svg)![1]!;
    const [first, second, third] = corners(line) as [[number, number], [number, number], [number, number]];
    expect((second[0] - first[0]) / (third[0] - first[0])).toBeCloseTo(1 / 4, 3);
    expect((second[1] - first[1]) / (third[1] - first[1])).toBeCloseTo(1 / 4, 3);
    expect(third[1]).toBeLessThan(first[1]);
  });

  test('puts factors at equal distances on a logarithmic one', () => {
    const points = [1, 10, 100].map((y, x) => ({ x, y }));
    const series = [{ name: 'a', points }];
    const svg = drawChart('', [panel({ kind: 'lines', y: { label: 'loss', log: true }, series })]);
    const [first, second, third] = corners(/<path[^>]* d="(M[^"]*L[^"]*L[^"]*)"/.exec(svg)![1]!);
    expect(second![1] - first![1]).toBeCloseTo(third![1] - second![1], 3);
  });

  test('leaves out what is not finite', () => {
    const points = [
      { x: 0, y: Number.NaN },
      { x: 1, y: 2 },
    ];
    expect(drawChart('', [panel({ series: [{ name: 'a', points }] })])).not.toContain('NaN');
  });

  test('of several panels has one legend', () => {
    const labels = texts(drawChart('', [panel(), panel({ y: { label: 'bits' } })]));
    expect(labels.filter((label) => label === 'one')).toHaveLength(1);
    expect(labels).toEqual(expect.arrayContaining(['loss', 'bits']));
  });
});

test('series differ in colour, and in shape where colours come again', () => {
  const styles = Array.from({ length: 28 }, (_, i) => seriesStyle(i));
  expect(new Set(styles.map(({ color, symbol }) => color + symbol)).size).toBe(28);
  expect(new Set(styles.map(({ color, dash }) => color + dash)).size).toBe(28);
});

test('a legend breaks into rows before its names touch', () => {
  const names = ['a', 'a much longer name', 'b'];
  const { places, height } = legendLayout(names, 400);
  expect(places.map(({ y }) => y)).toEqual([0, 0, 20]);
  expect(places[1]!.x - places[0]!.x).toBeGreaterThan(18 * 7);
  expect(height).toBe(44);
});

test('a picture has the letters of the drawing, from the font that comes with the package', async () => {
  const [empty, titled] = await Promise.all(
    ['', 'Fréchet ± 0.1'].map(async (title) => {
      const { data, info } = await sharp(await svgToPng(drawChart(title, [panel()]), 1))
        .greyscale()
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(info.width).toBe(680);
      return data.subarray(0, 36 * info.width).filter((grey) => grey < 128).length;
    }),
  );
  expect(empty).toBe(0);
  expect(titled).toBeGreaterThan(100);
});
