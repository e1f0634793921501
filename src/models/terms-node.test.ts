import { expect, test } from 'vitest';
import { BUNDLED_CHECKPOINT } from './bundled-node.ts';
import { CATALOGUE } from './hub/catalogue.ts';
import { termsOf } from './terms-node.ts';

test('published weights are known by their content, whatever the file is called', () => {
  const { sha256, page } = CATALOGUE.find(
    ({ licence, sha256 }) => licence === 'MIT' && sha256 !== undefined,
  )!;
  expect(termsOf('renamed.pt', sha256!)).toEqual({
    licence: 'MIT License, https://opensource.org/license/mit',
    credit: page,
  });
});

test('the bundled model gives credit to the artwork', () => {
  expect(termsOf(BUNDLED_CHECKPOINT, 'any').credit).toContain('Twemoji');
});

test('of a model of their own users know themselves', () => {
  expect(termsOf('runs/mine/checkpoints/step-0000010.safetensors', 'any')).toEqual({});
});
