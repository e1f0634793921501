import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { type EmojiCatalogue, readEmojiCatalogue } from './emoji-catalogue-node.ts';

let catalogue: EmojiCatalogue;
beforeAll(async () => {
  catalogue = await readEmojiCatalogue('twemoji');
});

describe('the emoji catalogue', () => {
  it('has 1,870 emoji in the nine groups of Unicode', () => {
    const counts = catalogue.classNames.map((name, label) => [
      name,
      catalogue.emojis.filter((emoji) => emoji.label === label).length,
    ]);
    expect(Object.fromEntries(counts)).toEqual({
      'Smileys & Emotion': 166,
      'People & Body': 363,
      'Animals & Nature': 157,
      'Food & Drink': 128,
      'Travel & Places': 218,
      Activities: 85,
      Objects: 261,
      Symbols: 223,
      Flags: 269,
    });
  });

  it('names each picture once, by its code points', () => {
    expect(new Set(catalogue.emojis.map((emoji) => emoji.stem)).size).toBe(catalogue.emojis.length);
    expect(catalogue.emojis[0]).toMatchObject({ stem: '1f600', title: 'grinning face', label: 0 });
  });

  it('finds pictures whose file drops or keeps the variation selector', () => {
    const stemOf = (title: string) => catalogue.emojis.find((emoji) => emoji.title === title)?.stem;
    expect(stemOf('red heart')).toBe('2764');
    expect(stemOf('rainbow flag')).toBe('1f3f3-fe0f-200d-1f308');
    expect(stemOf('keycap 1')).toBe('31-20e3');
  });

  it('sorts the rendered pictures into the same groups', async () => {
    const { classNames, emojis, sources } = await readEmojiCatalogue('fluent-3d');
    const counts = classNames.map((_, label) => emojis.filter((emoji) => emoji.label === label).length);
    expect(counts).toEqual([166, 361, 157, 128, 218, 85, 261, 223, 253]);
    expect(new Set(emojis.map((emoji) => emoji.stem)).size).toBe(emojis.length);
    expect(emojis.find((emoji) => emoji.title === 'copyright')?.stem).toBe('a9-fe0f');
    expect(emojis.filter((emoji) => /1f3f[b-f]/.test(emoji.stem))).toEqual([]);
    expect(sources[0]).toBe('@lobehub/fluent-emoji-3d@1.1.0');
  });

  it('leaves skin-tone variants out', () => {
    expect(catalogue.emojis.filter((emoji) => /1f3f[b-f]/.test(emoji.stem))).toEqual([]);
  });

  it('names the versions of its sources', async () => {
    expect(catalogue.sources).toEqual(['@twemoji/svg@15.0.0', 'unicode-emoji-json@0.9.0']);
    expect(await readFile(catalogue.emojis[0]!.path, 'utf8')).toContain('<svg');
  });
});
