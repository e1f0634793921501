import { expect, test } from 'vitest';
import { bundledFile } from './bundled-files-node.ts';
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

test.each([
  ['u-dit-xs-emoji', ['Twemoji']],
  ['u-dit-xs-emoji-3d', ['Twemoji', 'Fluent Emoji']],
  ['emoji-3d-autoencoder', ['Fluent Emoji']],
] as const)('%s gives credit to the artwork', (name, artwork) => {
  const { credit } = termsOf(bundledFile(name), 'any');
  expect(['Twemoji', 'Fluent Emoji'].filter((one) => credit!.includes(`trained on ${one},`))).toEqual(
    artwork,
  );
});

test('of a model of their own users know themselves', () => {
  expect(termsOf('runs/mine/checkpoints/step-0000010.safetensors', 'any')).toEqual({});
});
