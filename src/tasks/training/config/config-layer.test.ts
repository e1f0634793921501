import { expect, test } from 'vitest';
import { layerOf, overlay } from './config-layer.ts';

test('a dotted key is a nested object', () => {
  expect(layerOf('optimizer.learningRate', 0.1)).toEqual({ optimizer: { learningRate: 0.1 } });
  expect(layerOf('model', { preset: 'x' })).toEqual({ model: { preset: 'x' } });
});

test('objects are merged, all else is replaced', () => {
  const below = { model: { preset: 'a', depth: [1, 2, 3] }, data: { path: 'x' }, kept: null };
  const above = { model: { depth: [4], width: 8 }, data: null };
  expect(overlay(below, above)).toEqual({
    model: { preset: 'a', depth: [4], width: 8 },
    data: null,
    kept: null,
  });
  expect(below.model.depth).toEqual([1, 2, 3]);
});

test('another kind of objective leaves nothing of the one before', () => {
  const below = { objective: { kind: 'flow', timeScale: 1000 } };
  expect(overlay(below, layerOf('objective.kind', 'gaussian'))).toEqual({ objective: { kind: 'gaussian' } });
  expect(overlay(below, { objective: { kind: 'flow', logitStd: 2 } })).toEqual({
    objective: { kind: 'flow', timeScale: 1000, logitStd: 2 },
  });
});

test('another kind of data keeps what every kind has', () => {
  const below = { data: { kind: 'folder', path: 'x', imageSize: 64, strict: true } };
  expect(overlay(below, layerOf('data.kind', 'emoji'))).toEqual({ data: { kind: 'emoji', imageSize: 64 } });
});

test('a kind that is said later takes nothing away', () => {
  const below = { objective: { timeScale: 1000 } };
  expect(overlay(below, layerOf('objective.kind', 'flow'))).toEqual({
    objective: { kind: 'flow', timeScale: 1000 },
  });
});
