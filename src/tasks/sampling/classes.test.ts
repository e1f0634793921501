import { describe, expect, test } from 'vitest';
import { chooseClasses, classesOf, className, classSlugs } from './classes.ts';

const EMOJI = { numClasses: 4, classNames: ['Smileys & Emotion', 'Food & Drink', 'Symbols', 'Flags'] };
const NAMELESS = { numClasses: 1000, classNames: [] };

describe('chosen classes', () => {
  test('all', () => {
    expect(chooseClasses('all', EMOJI)).toEqual([0, 1, 2, 3]);
    expect(chooseClasses(' ALL ', NAMELESS)).toHaveLength(1000);
  });

  test('by name in any case and punctuation, by number, by the beginning of one name, each once, in their order', () => {
    expect(chooseClasses('flags, food-drink ,0,SYMBOLS,smil,3', EMOJI)).toEqual([3, 1, 0, 2]);
    expect(chooseClasses('Smileys & Emotion', EMOJI)).toEqual([0]);
  });

  test('by number where there are no names', () => {
    expect(chooseClasses('207, 360', NAMELESS)).toEqual([207, 360]);
  });

  test('a name wins over a number', () => {
    expect(chooseClasses('1', { numClasses: 2, classNames: ['1', '0'] })).toEqual([0]);
  });
});

describe('classes of a model', () => {
  const IMAGENET = classesOf(NAMELESS, NAMELESS);

  test('are those of ImageNet where there are 1000 without names', () => {
    expect(chooseClasses('golden retriever, 360, giant panda, tank suit', IMAGENET)).toEqual([
      207, 360, 388, 639,
    ]);
    expect(className(IMAGENET, 0)).toBe('tench');
    expect(className(IMAGENET, 999)).toBe('toilet tissue');
    expect(new Set(IMAGENET.classNames).size).toBe(999);
    expect(() => chooseClasses('crane', IMAGENET)).toThrow('134 crane, 517 crane');
  });

  test('are otherwise what its card says', () => {
    expect(classesOf(EMOJI, EMOJI)).toEqual(EMOJI);
    expect(classesOf({ numClasses: 10 }, NAMELESS).classNames).toEqual([]);
  });
});

describe('names that differ little', () => {
  const LETTERS = { numClasses: 5, classNames: ['+', 'A', 'a', 'c', 'c++'] };

  test.each(LETTERS.classNames.map((name, label) => [name, label] as const))(
    '%s is exactly %i',
    (name, label) => {
      expect(chooseClasses(name, LETTERS)).toEqual([label]);
    },
  );

  test('case comes before signs', () => {
    expect(chooseClasses('C', LETTERS)).toEqual([3]);
    expect(chooseClasses('C++', LETTERS)).toEqual([4]);
  });

  test('several that fit, and none exactly', () => {
    const classNames = ['Red fox', 'red FOX', 'red-fox!'];
    const classes = { numClasses: 3, classNames };
    expect(chooseClasses('red-fox!', classes)).toEqual([2]);
    expect(() => chooseClasses('RED FOX', classes)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: "RED FOX" fits 2 names
        classes  0 Red fox, 1 red FOX
        fix: write the whole name exactly, or the number]
    `);
    expect(() => chooseClasses('red_fox', classes)).toThrow('"red_fox" fits 3 names');
  });

  test('a name with commas', () => {
    const classes = { numClasses: 3, classNames: ['x, y', 'x', 'hen, cock, bird'] };
    expect(chooseClasses('x, y', classes)).toEqual([0]);
    expect(chooseClasses('x,hen, cock, bird,x, y', classes)).toEqual([1, 2, 0]);
  });

  test('a number below zero is no class', () => {
    const classes = { numClasses: 2, classNames: ['0', '1'] };
    expect(() => chooseClasses('-1', classes)).toThrow('there is no class "-1"');
  });
});

describe('errors', () => {
  test('a word of a longer name', () => {
    expect(() => chooseClasses('smilies', EMOJI)).toThrow('did you mean "Smileys & Emotion"?');
    expect(() => chooseClasses('emotoin', EMOJI)).toThrow('did you mean "Smileys & Emotion"?');
  });

  test('an unknown name', () => {
    expect(() => chooseClasses('flogs', EMOJI)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: there is no class "flogs": the model has 4, numbered 0 to 3
        classes  0 Smileys & Emotion, 1 Food & Drink, 2 Symbols, 3 Flags
        fix: did you mean "Flags"?]
    `);
  });

  test('the beginning of two names', () => {
    expect(() => chooseClasses('s', EMOJI)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: "s" is the beginning of 2 names
        classes  0 Smileys & Emotion, 2 Symbols
        fix: write the whole name exactly, or the number]
    `);
  });

  test('a number that is too large', () => {
    expect(() => chooseClasses('flags,4', EMOJI)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: there is no class "4": the model has 4, numbered 0 to 3
        classes  0 Smileys & Emotion, 1 Food & Drink, 2 Symbols, 3 Flags
        fix: use numbers from 0 to 3, or all]
    `);
  });

  test('a name where there are none', () => {
    expect(() => chooseClasses('dog', NAMELESS)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: there is no class "dog": the model has 1000, numbered 0 to 999
        fix: use numbers from 0 to 999, or all]
    `);
  });

  test('one of many', () => {
    const classNames = Array.from({ length: 20 }, (_, label) => `Dog ${label}`);
    expect(() => chooseClasses('dog', { numClasses: 20, classNames })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: "dog" is the beginning of 20 names
        classes  0 Dog 0, 1 Dog 1, 2 Dog 2, 3 Dog 3, 4 Dog 4, 5 Dog 5, 6 Dog 6, 7 Dog 7, 8 Dog 8, 9 Dog 9, 10 Dog 10, 11 Dog 11 … and 8 more
        fix: write the whole name exactly, or the number]
    `);
  });

  test('nothing between two commas', () => {
    expect(() => chooseClasses('flags,,food', EMOJI)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --classes: there is no class between two commas, or beside one
        fix: write one comma between classes]
    `);
  });
});

test('names for files are unique and never empty', () => {
  expect(classSlugs({ numClasses: 5, classNames: ['Food & Drink', 'Été', 'a b', 'A-B', '!?'] })).toEqual([
    'food-drink',
    'été',
    'a-b-2',
    'a-b-3',
    'class-4',
  ]);
  expect(classSlugs({ numClasses: 2, classNames: [] })).toEqual(['0', '1']);
});

test('a class without a name is called by its number', () => {
  expect([className(EMOJI, 3), className(NAMELESS, 3)]).toEqual(['Flags', '3']);
});
