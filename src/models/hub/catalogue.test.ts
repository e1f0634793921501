import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../core/shape.ts';
import { PRESETS, presetSpec } from '../../networks/presets.ts';
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

describe.each(CATALOGUE.filter(({ kind }) => kind === 'denoiser'))(
  '$name',
  ({ name, about, preset, size }) => {
    test('is of a preset, which its words name', () => {
      expect(Object.keys(PRESETS)).toContain(preset);
      expect(about.startsWith(`${preset}, `)).toBe(true);
    });

    /** Float32 weights, and less than a thousandth for names and zip headers. */
    test('has the size of the parameters of its preset', () => {
      const shapes = [...createModel(presetSpec(preset!)).parameters()].map(({ shape }) => sizeOf(shape));
      const parameters = shapes.reduce((sum, size) => sum + size, 0);
      // Those of DiT-LLaMA hold an average and both moments of AdamW, too: none of a parameter that is frozen.
      const sets = name.startsWith('DiT-LLaMA') ? 4 : 1;
      const overhead = size.bytes / (4 * parameters * sets) - 1;
      expect(Math.abs(overhead)).toBeLessThan(size.exact ? 0.0005 : 0.01);
      if (size.exact && sets === 1) expect(overhead).toBeGreaterThan(0);
    });
  },
);

test('of networks that udit has, it is said how they are used, and of others that they are not there', () => {
  for (const { kind, use } of CATALOGUE) {
    const expected = {
      denoiser: /^give its name where a checkpoint is asked for/,
      autoencoder: /^give its name to udit sample: --autoencoder/,
      features: /^give its name to udit evaluate: --extractor/,
    }[kind];
    expect(use).toMatch(expected);
  }
});

test('autoencoders say whose latents they make', () => {
  expect(CATALOGUE.filter(({ latents }) => latents !== undefined).map(({ kind }) => kind)).toEqual(
    CATALOGUE.filter(({ kind }) => kind === 'autoencoder').map(({ kind }) => kind),
  );
});

test('capitals do not matter', () => {
  expect(findPublished('u-dit-s-400K')?.name).toBe('U-DiT-S-400k');
  expect(findPublished('U-DiT-S')).toBeUndefined();
});

test('a million steps have two names', () => {
  expect(findPublished('U-DiT-L-1m')?.name).toBe('U-DiT-L-1000k');
});

test('a name that nothing has', () => {
  expect(() => publishedFile('U-DiT-S-40k')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: U-DiT-S-40k: there are no published weights of this name
      fix: did you mean U-DiT-S-400k? npx udit fetch --list shows all]
  `);
});
