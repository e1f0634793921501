/**
 * @file Which emoji there are: the pictures of an artwork sorted into the nine groups of `unicode-emoji-json`. Packages
 * are found as Node resolves them, wherever they are installed.
 */

import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { readJson } from '../../host/files/read-json-node.ts';

export interface Emoji {
  /** Code points of the picture's file in hexadecimal, joined by `-`; stable across versions. */
  readonly stem: string;
  /** Name in Unicode, e.g. "grinning face". */
  readonly title: string;
  /** Index into the class names. */
  readonly label: number;
  /** Of its picture. */
  readonly path: string;
}

export interface EmojiCatalogue {
  /** Groups of Unicode, e.g. "Smileys & Emotion". */
  readonly classNames: readonly string[];
  /** Grouped by class, within it in Unicode's order. Emoji newer than the artwork and skin-tone variants are left out. */
  readonly emojis: readonly Emoji[];
  /** `name@version` of the packages. */
  readonly sources: readonly string[];
}

/** Pictures of emoji: Twemoji (CC-BY 4.0) as SVG, and Microsoft's Fluent Emoji (MIT), rendered in 256×256 pixels. */
export type Artwork = keyof typeof PACKAGES;

const PACKAGES = {
  twemoji: { name: '@twemoji/svg', folder: '.', extension: '.svg' },
  'fluent-3d': { name: '@lobehub/fluent-emoji-3d', folder: 'assets', extension: '.webp' },
} as const;

interface EmojiGroup {
  readonly name: string;
  readonly emojis: readonly { readonly emoji: string; readonly name: string }[];
}

const require = createRequire(import.meta.url);

/** @throws ConfigError if the package of the artwork is not installed */
export async function readEmojiCatalogue(artwork: Artwork): Promise<EmojiCatalogue> {
  const { name: packageName, folder, extension } = PACKAGES[artwork];
  const artworkManifest = manifestOf(packageName);
  const namesManifest = require.resolve('unicode-emoji-json/package.json');
  const groups = (await readJson(require.resolve('unicode-emoji-json/data-by-group.json'))) as EmojiGroup[];
  const pictures = await findPictures(join(dirname(artworkManifest), folder), extension);
  const emojis = groups.flatMap((group, label) =>
    group.emojis.flatMap(({ emoji, name }): Emoji[] => {
      const path = pictures.get(withoutVariationSelectors(codePointStem(emoji)));
      return path === undefined ? [] : [{ stem: basename(path, extension), title: name, label, path }];
    }),
  );
  const sources = await Promise.all([artworkManifest, namesManifest].map(packageVersion));
  return { classNames: groups.map((group) => group.name), emojis, sources };
}

function manifestOf(packageName: string): string {
  try {
    return require.resolve(`${packageName}/package.json`);
  } catch (error) {
    throw new ConfigError({
      where: 'emoji',
      problem: `the package of their pictures, ${packageName}, is not installed`,
      fix: `npm install ${packageName}`,
      cause: error,
    });
  }
}

/** Paths by {@link withoutVariationSelectors}. */
async function findPictures(folder: string, extension: string): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(extension));
  return new Map(
    files.map((file) => [withoutVariationSelectors(basename(file, extension)), join(folder, file)]),
  );
}

function codePointStem(emoji: string): string {
  return Array.from(emoji, (character) => character.codePointAt(0)!.toString(16)).join('-');
}

/** Files use the variation selector FE0F differently from Unicode's list, so it is ignored. */
function withoutVariationSelectors(stem: string): string {
  return stem.replaceAll('-fe0f', '');
}

async function packageVersion(manifestPath: string): Promise<string> {
  const { name, version } = (await readJson(manifestPath)) as { name: string; version: string };
  return `${name}@${version}`;
}
