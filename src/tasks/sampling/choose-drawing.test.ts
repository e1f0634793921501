import { expect, test } from 'vitest';
import { OnePicturePerClass } from '../../../test/support/analytic-denoiser.ts';
import { chooseDrawing } from './choose-drawing.ts';
import type { RequestedSettings } from './settings.ts';

const cfgInterval = [0.05, 0.8] as const;
const saved = {
  network: new OnePicturePerClass(3),
  card: { objective: { kind: 'flow' }, guidance: { cfgScale: 3, cfgInterval } },
} as const;
const intervals = (requested: RequestedSettings, strength?: number) => {
  const { settings, unusedInterval } = chooseDrawing(saved, requested, strength);
  return { used: settings.cfgInterval, unused: unusedInterval, cfgScale: settings.cfgScale };
};

test('an interval that the model suggests is used where a step begins in it', () => {
  expect(intervals({ steps: 2 })).toEqual({ used: cfgInterval, unused: undefined, cfgScale: 3 });
  expect(intervals({ sampler: 'dopri5' })).toEqual({ used: cfgInterval, unused: undefined, cfgScale: 3 });
});

test('it is left out where none does: at one step, or so near to the data', () => {
  expect(intervals({ steps: 1 })).toEqual({ used: undefined, unused: cfgInterval, cfgScale: 3 });
  const late = { used: undefined, unused: cfgInterval, cfgScale: 3 };
  expect(intervals({ steps: 40, shift: 1 }, 0.15)).toEqual(late);
  expect(intervals({ sampler: 'dopri5' }, 0.15)).toEqual(late);
});

test('one that was asked for stays, and is an error where it is used', () => {
  const asked = { steps: 1, cfgInterval };
  expect(intervals(asked)).toEqual({ used: cfgInterval, unused: undefined, cfgScale: 3 });
});
