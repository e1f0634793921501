/** @file Drawings as files. PNGs are the same on every machine: the font comes with the package, none of the system is asked. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { initWasm, Resvg } from '@resvg/resvg-wasm';
import { writeFileAtomic } from '../host/files/atomic-write-node.ts';

const FONT_FAMILY = 'DejaVu Sans';
const FONT_FILES = ['400', '700'].map(
  (weight) => `@fontsource/dejavu-sans/files/dejavu-sans-latin-${weight}-normal.woff2`,
);

const { resolve } = createRequire(import.meta.url);

interface Renderer {
  readonly fonts: readonly Uint8Array[];
}

let renderer: Promise<Renderer> | undefined;

async function startRenderer(): Promise<Renderer> {
  await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
  return { fonts: await Promise.all(FONT_FILES.map((file) => readFile(resolve(file)))) };
}

/**
 * @param scale - pixels of the picture per pixel of the drawing
 * @returns the bytes of a PNG file
 */
export async function svgToPng(svg: string, scale = 2): Promise<Uint8Array> {
  // One process may start it once only.
  renderer ??= startRenderer();
  const { fonts } = await renderer;
  const drawing = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      fontBuffers: [...fonts],
      defaultFontFamily: FONT_FAMILY,
      sansSerifFamily: FONT_FAMILY,
      loadSystemFonts: false,
    },
  });
  try {
    return drawing.render().asPng();
  } finally {
    drawing.free();
  }
}

/**
 * Writes a drawing in each of the formats asked for.
 *
 * @param stem - path without extension; its folder exists
 * @returns the paths
 */
export async function writeDrawing(
  stem: string,
  svg: string,
  formats: readonly ('.svg' | '.png')[] = ['.svg', '.png'],
): Promise<string[]> {
  const paths: string[] = [];
  for (const format of formats) {
    const bytes = format === '.svg' ? new TextEncoder().encode(svg) : await svgToPng(svg);
    await writeFileAtomic(stem + format, [bytes]);
    paths.push(stem + format);
  }
  return paths;
}
