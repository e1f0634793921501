import { describe, expect, it } from 'vitest';
import { GLYPH_HEIGHT, paintText, textWidth } from './pixel-font.ts';

function draw(text: string): string {
  const rows = Array.from({ length: GLYPH_HEIGHT }, () => new Array<string>(textWidth(text)).fill('.'));
  paintText(text, (column, row) => {
    rows[row]![column] = '#';
  });
  return rows.map((row) => row.join('')).join('\n');
}

describe('the pixel font', () => {
  it('draws letters above and below the baseline', () => {
    expect(draw('Ag!')).toMatchInlineSnapshot(`
      ".###.......#
      #...#......#
      #...#..###.#
      #####.#..#.#
      #...#.#..#.#
      #...#.#..#..
      #...#..###.#
      .........#..
      .......##..."
    `);
  });

  it('has every printable ASCII character: each another picture, in rows of one width', () => {
    const characters = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
    expect(new Set(characters.map(draw)).size).toBe(95);
    for (const character of characters) {
      // A glyph with a row that is too long would paint outside its width, and so change the width of a line.
      for (const row of draw(character).split('\n')) expect(row.length).toBe(textWidth(character));
    }
  });

  it('leaves out accents and shows a box for what it cannot draw', () => {
    expect(draw('é')).toBe(draw('e'));
    expect(draw('犬')).toBe(draw('猫'));
    expect(draw('犬')).not.toBe(draw('?'));
  });
});
