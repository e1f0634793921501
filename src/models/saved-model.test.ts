import { describe, expect, test } from 'vitest';
import { tinyCard, tinySpec } from '../../test/support/tiny-checkpoint.ts';
import { tensorOf } from '../core/host-tensor.ts';
import { cardMetadata, readCard, spaceOf, tensorGroup } from './saved-model.ts';

const card = tinyCard();
const metadata = cardMetadata(card);

test('what a checkpoint says about itself is read as it was written', () => {
  expect(readCard({ metadata }, 'file')).toEqual(card);
  const others = tinyCard({
    objective: { kind: 'gaussian', respacing: '250' },
    classNames: ['søt "x"'],
    version: '1.2.3',
    guidance: { cfgInterval: [0.1, 0.7] },
  });
  expect(readCard({ metadata: cardMetadata(others) }, 'file')).toEqual(others);
});

test('a group of tensors is what has its prefix, without it', () => {
  const tensor = tensorOf('f32', [1], [1]);
  const tensors = new Map([
    ['ema.a.b', tensor],
    ['emas', tensor],
  ]);
  expect([...tensorGroup(tensors, 'ema.').keys()]).toEqual(['a.b']);
});

describe('metadata that is refused', () => {
  const reading = (changes: Readonly<Record<string, string | undefined>>) => () =>
    readCard({ metadata: { ...metadata, ...changes } as Record<string, string> }, 'w.safetensors');

  test('of another program', () => {
    expect(reading({ format: 'pt' })).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: its metadata says format pt, not udit-1: the file does not name its model
        fix: use a checkpoint written by udit train]
    `);
    expect(reading({ format: undefined })).toThrow('its metadata says format (none)');
  });

  test('that is damaged', () => {
    expect(reading({ spec: '{"family"' })).toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: its metadata does not describe a model: spec: Invalid JSON: Received "Expected ':' after property name in JSON at position 9"
        fix: the file is damaged, or of a newer udit: write it again, or update udit]
    `);
  });

  test('of an unknown family', () => {
    const spec = JSON.stringify({ family: 'GAN', config: {} });
    expect(reading({ spec })).toThrow('its network is of the family "GAN", which is none of U-DiT, DiT,');
  });

  test.each([
    ['spec', JSON.stringify({ ...card.spec, config: { ...card.spec.config, width: '8' } })],
    ['spec', JSON.stringify({ ...card.spec, config: { ...card.spec.config, depth: [1e99] } })],
    ['spec', JSON.stringify({ ...card.spec, config: { ...card.spec.config, registers: 4 } })],
    ['spec', undefined],
    ['objective', '{"kind":"guess"}'],
    ['class_names', '"cat"'],
    ['step', '-1'],
    ['nimg', '1e999'],
  ])('%s: %s', (key, value) => {
    expect(reading({ [key]: value })).toThrow(`its metadata does not describe a model: ${key}`);
  });
});

test.each(['16x8', { height: 16, width: 8 }])('a size that is no square, written %j', (inputSize) => {
  const card = tinyCard({ spec: tinySpec({ inputSize: '16x8' }) });
  expect(readCard({ metadata: cardMetadata(card) }, 'x')).toEqual(card);
  const spec = JSON.stringify({ ...card.spec, config: { ...card.spec.config, inputSize } });
  expect(readCard({ metadata: { ...cardMetadata(card), spec } }, 'x')).toEqual(card);
});

test.each([
  { kind: 'latents', autoencoder: 'mine', factor: 4, scale: 1, shift: 0 },
  { kind: 'latents', autoencoder: '', factor: 8, scale: [1, 2], shift: [0, 3], pictureRange: [0, 1] },
] as const)('a card says what its images are; without it the channels suggest it', (space) => {
  const card = tinyCard({ space });
  const read = readCard({ metadata: cardMetadata(card) }, 'x');
  expect(read).toEqual(card);
  expect(spaceOf(read, { inputSize: 8, inChannels: 3 })).toEqual(space);
  expect(spaceOf(tinyCard(), { inputSize: 8, inChannels: 3 })).toEqual({ kind: 'pixels' });
  expect(spaceOf(tinyCard(), { inputSize: 8, inChannels: 4 })).toMatchObject({ kind: 'latents', factor: 8 });
});
