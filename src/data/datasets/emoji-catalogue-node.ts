/**
 * @file Which emoji there are: pictures of `@twemoji/svg` (CC-BY 4.0 artwork) sorted into the nine groups of
 * `unicode-emoji-json`. Both packages are found as Node resolves them, wherever they are installed.
 */

import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { readJson } from '../../host/files/read-json-node.ts';

export interface Emoji {
  /** Code points of the picture's file in hexadecimal, joined by `-`; stable across versions. */
  readonly stem: string;
  /** Name in Unicode, e.g. "grinning face". */
  readonly title: string;
  /** Index into the class names. */
  readonly label: number;
  readonly svgPath: string;
}

export interface EmojiCatalogue {
  /** Groups of Unicode, e.g. "Smileys & Emotion". */
  readonly classNames: readonly string[];
  /** Grouped by class, within it in Unicode's order. Emoji newer than the artwork and skin-tone variants are left out. */
  readonly emojis: readonly Emoji[];
  /** `name@version` of the packages. */
  readonly sources: readonly string[];
}

interface EmojiGroup {
  readonly name: string;
  readonly emojis: readonly { readonly emoji: string; readonly name: string }[];
}

const require = createRequire(import.meta.url);

export async function readEmojiCatalogue(): Promise<EmojiCatalogue> {
  const artworkManifest = require.resolve('@twemoji/svg/package.json');
  const namesManifest = require.resolve('unicode-emoji-json/package.json');
  const groups = (await readJson(require.resolve('unicode-emoji-json/data-by-group.json'))) as EmojiGroup[];
  const artwork = await findArtwork(dirname(artworkManifest));
  const emojis = groups.flatMap((group, label) =>
    group.emojis.flatMap(({ emoji, name }): Emoji[] => {
      const svgPath = artwork.get(withoutVariationSelectors(codePointStem(emoji)));
      return svgPath === undefined ? [] : [{ stem: basename(svgPath, '.svg'), title: name, label, svgPath }];
    }),
  );
  const sources = await Promise.all([artworkManifest, namesManifest].map(packageVersion));
  return { classNames: groups.map((group) => group.name), emojis, sources };
}

/** SVG paths by stem. The files use the variation selector FE0F differently from Unicode's list, so it is ignored. */
async function findArtwork(folder: string): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.svg'));
  return new Map(
    files.map((file) => [withoutVariationSelectors(basename(file, '.svg')), join(folder, file)]),
  );
}

function codePointStem(emoji: string): string {
  return Array.from(emoji, (character) => character.codePointAt(0)!.toString(16)).join('-');
}

function withoutVariationSelectors(stem: string): string {
  return stem.replaceAll('-fe0f', '');
}

async function packageVersion(manifestPath: string): Promise<string> {
  const { name, version } = (await readJson(manifestPath)) as { name: string; version: string };
  return `${name}@${version}`;
}
