import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../core/shape.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { CATALOGUE, findPublished, publishedFile } from './catalogue.ts';

test('names differ, whatever their capitals, and are no paths', () => {
  const names = CATALOGUE.map(({ name }) => name.toLowerCase());
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9-]+$/);
});

describe.each(CATALOGUE)('$name', (file) => {
  test('has addresses that are not open to whoever listens', () => {
    expect(file.url).toMatch(/^https:\/\/[\w.]+\/[\w./-]+\.(?:pth?|safetensors)$/);
    expect(file.page).toMatch(/^https:\/\/[\w.]+\/[\w./-]+$/);
  });

  test('has a whole hash or none', () => {
    if (file.sha256 !== undefined) expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});

/** Float32 weights, and less than a thousandth for names and zip headers. */
test.each([
  ['U-DiT-S-400k', 'U-DiT-S'],
  ['U-DiT-B-400k', 'U-DiT-B'],
  ['U-DiT-B-1000k', 'U-DiT-B'],
  ['U-DiT-L-400k', 'U-DiT-L'],
  ['U-DiT-L-1000k', 'U-DiT-L'],
  ['DiT-XL-2-256x256', 'DiT-XL/2'],
] as const)('%s has the size of the parameters of %s', (name, preset) => {
  const { bytes, exact } = publishedFile(name).size;
  const sizes = [...createModel(presetSpec(preset)).parameters()].map(({ shape }) => sizeOf(shape));
  const parameters = sizes.reduce((sum, size) => sum + size, 0);
  const overhead = bytes / (4 * parameters) - 1;
  expect(Math.abs(overhead)).toBeLessThan(exact ? 0.0005 : 0.005);
  if (exact) expect(overhead).toBeGreaterThan(0);
});

test('capitals do not matter', () => {
  expect(findPublished('u-dit-s-400K')?.name).toBe('U-DiT-S-400k');
  expect(findPublished('U-DiT-S')).toBeUndefined();
});

test('a name that nothing has', () => {
  expect(() => publishedFile('U-DiT-S-40k')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: udit fetch: there are no published weights called "U-DiT-S-40k"
      fix: did you mean U-DiT-S-400k? udit fetch --list shows all]
  `);
});
