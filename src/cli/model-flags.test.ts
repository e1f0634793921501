import { expect, test } from 'vitest';
import { modelRequest } from './model-flags.ts';

test('a size is that of the training where the file leaves it open', () => {
  const square = { height: 512, width: 512 };
  expect(modelRequest({ imageSize: square }).imageSize).toBe(512);
  expect(modelRequest({ latentSize: { height: 64, width: 64 } }).imageSize).toBe(512);
  expect(modelRequest({}).imageSize).toBeUndefined();
});

test('with a rule for positions outside the trained grid it is another one', () => {
  for (const size of [
    { imageSize: { height: 512, width: 512 } },
    { latentSize: { height: 64, width: 64 } },
  ]) {
    expect(modelRequest({ ...size, positionScaling: 'interpolate' }).imageSize).toBeUndefined();
  }
});
