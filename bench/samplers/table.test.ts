import { expect, test } from 'vitest';
import { formatTable, withTable } from './table.ts';

test('a table of a guide', () => {
  const table = formatTable([
    { contender: { sampler: 'euler', steps: 8, shift: 1 }, networkRuns: 16, distance: 0.25 },
    {
      contender: { sampler: 'dpm++2m', steps: 8, shift: 3, cfgInterval: [0.1, 0.8], frechet: true },
      networkRuns: 14,
      frechet: 12.345,
    },
  ]);
  expect(table).toMatchInlineSnapshot(`
    "| sampler | steps | shift | guided times | runs of the network | distance from the flow | Fréchet distance |
    | --- | ---: | ---: | --- | ---: | ---: | ---: |
    | \`euler\` | 8 | 1 | all | 16 | 0.250 |  |
    | \`dpm++2m\` | 8 | 3 | 0.1 to 0.8 | 14 |  | 12.35 |"
  `);
});

test('it replaces what stands between the marks', () => {
  const guide = 'before\n\n<!-- begin: bench/sampler-quality.ts -->\nold\n<!-- end -->\n\nafter\n';
  const updated = withTable(guide, 'new', 'guide.md');
  expect(updated).toBe(
    'before\n\n<!-- begin: bench/sampler-quality.ts -->\n\nnew\n\n<!-- end -->\n\nafter\n',
  );
  expect(withTable(updated, 'new', 'guide.md')).toBe(updated);
});

test('a document without marks is left alone', () => {
  expect(() => withTable('nothing', 'new', 'guide.md')).toThrowErrorMatchingInlineSnapshot(`
    [DataError: DataError: guide.md: there is no place for the table: <!-- begin: bench/sampler-quality.ts --> is at -1, <!-- end --> at -1
      fix: write both marks where it is to stand, each on a line of its own]
  `);
});
