import { describe, expect, test } from 'vitest';
import { tensorOf } from '../src/core/host-tensor.ts';
import { compareExactly, compareNumbers, compareTensors, isWithin } from '../tools/parity/comparison.ts';
import { EXACT, formatTolerance, README_TOLERANCES, StatedTolerance } from '../tools/parity/tolerance.ts';
import { compareParameters, parseTrainingTolerance } from '../tools/parity/training-tolerance.ts';

describe('tolerances in words', () => {
  test.each([
    ['max|a-b| <= 1e-4 and rel L2 <= 2e-5 (float32, any summation order)', { absolute: 1e-4, relL2: 2e-5 }],
    ['max abs 1e-4, rel L2 2e-5.', { absolute: 1e-4, relL2: 2e-5 }],
    ['5e-5 abs (temb: 1e-4 abs because arguments are rounded)', { absolute: 5e-5 }],
    ['1e-6', { absolute: 1e-6 }],
    ['1e-13 relative (float64); log_one_minus 1e-12', { relative: 1e-13 }],
    ['rel 1e-5, abs 1e-5; vb terms rel 1e-4', { relative: 1e-5, absolute: 1e-5 }],
    ['final: rel L2 <= 1e-4; per step rel L2 <= 1e-4', { relL2: 1e-4 }],
    ['uint8: exact if resampling is reproduced, otherwise |diff| <= 1', { absolute: 1 }],
    ['timestep_map exact; betas 1e-12 relative', EXACT],
    ['', EXACT],
  ])('%s', (text, expected) => {
    expect(new StatedTolerance(text).of()).toEqual(expected);
  });

  test('a clause loosens the general tolerance for what it begins with', () => {
    const stated = new StatedTolerance(
      'rel 1e-5, abs 1e-5; vb terms rel 1e-4; ddim_reverse at t=999: rel 1e-3; ddim at t=0: abs 1e-4',
    );
    expect(stated.of('vb')).toEqual({ relative: 1e-4, absolute: 1e-5 });
    expect(stated.of('ddim_reverse')).toEqual({ relative: 1e-3, absolute: 1e-5 });
    expect(stated.of('ddim')).toEqual({ relative: 1e-5, absolute: 1e-4 });
    expect(stated.of('mse')).toEqual({ relative: 1e-5, absolute: 1e-5 });
    expect(stated.of('mse', 'vb')).toEqual(stated.of('vb'));
    expect(new StatedTolerance('5e-5 abs (temb: 1e-4 abs)').of('temb')).toEqual({ absolute: 1e-4 });
    expect(new StatedTolerance('1e-13 relative; log 1e-12').of('log')).toEqual({ relative: 1e-12 });
  });

  test('are printed as short as they can be', () => {
    expect(formatTolerance({ absolute: 1e-4, relL2: 2e-5 })).toBe('abs 1e-4, rel L2 2e-5');
    expect(formatTolerance({ absolute: 0, relative: 1e-12 })).toBe('rel 1e-12');
    expect(formatTolerance(EXACT)).toBe('exact');
  });
});

describe('comparisons', () => {
  test('measure the largest and the relative L2 error', () => {
    const comparison = compareNumbers('x', [3, 4.5], [3, 4], { absolute: 1 });
    expect(comparison).toMatchObject({ maxAbs: 0.5, relL2: 0.1, excess: 0.5 });
    expect(compareNumbers('x', [3, 4.5], [3, 4], { absolute: 1, relL2: 0.05 }).excess).toBeCloseTo(2);
  });

  test('judge each element by its own bound', () => {
    const tolerance = { absolute: 0.1, relative: 0.01 };
    expect(isWithin(compareNumbers('x', [101, 0.1], [100, 0], tolerance))).toBe(true);
    expect(isWithin(compareNumbers('x', [100, 0.2], [100, 0], tolerance))).toBe(false);
  });

  test('never let not-a-number pass, and take equal infinities for equal', () => {
    expect(isWithin(compareNumbers('x', [Number.NaN], [0], { absolute: 1e9 }))).toBe(false);
    expect(isWithin(compareNumbers('x', [0], [Number.NaN], { relL2: 1e9 }))).toBe(false);
    expect(isWithin(compareNumbers('x', [-Infinity], [-Infinity], EXACT))).toBe(true);
  });

  test('fail where sizes differ or nothing was computed', () => {
    const expected = tensorOf('f32', [2, 3], [1, 2, 3, 4, 5, 6]);
    const reshaped = tensorOf('f32', [6], [1, 2, 3, 4, 5, 6]);
    expect(isWithin(compareTensors('x', reshaped, expected, EXACT))).toBe(true);
    expect(compareTensors('x', undefined, expected, EXACT).problem).toBe('nothing was computed');
    const shorter = tensorOf('f32', [5], [1, 2, 3, 4, 5]);
    expect(compareTensors('x', shorter, expected, EXACT).problem).toBe('shape [5], [2,3] was recorded');
    expect(compareExactly('x', [1, 2], [1, 3]).problem).toBe('[1,2], recorded is [1,3]');
  });
});

describe('tolerance of a training', () => {
  const tolerance = parseTrainingTolerance(README_TOLERANCES.training);

  test('is read from the words of the reference', () => {
    const { lossAt, ...numbers } = tolerance;
    expect(numbers).toEqual({
      gradientRelL2: 1e-4,
      negligibleNorm: 1e-6,
      usualDifference: 1e-5,
      usualPercent: 99.9,
      largestDifference: 1e-3,
    });
    expect([1, 3, 5].map((step) => lossAt(step, 5).toPrecision(3))).toEqual([
      '0.0000100',
      '0.0000316',
      '0.000100',
    ]);
  });

  test('follows a text that states other numbers', () => {
    const other = parseTrainingTolerance('losses rel 2e-4; gradients rel L2 3e-3 per tensor (norm > 1e-5)');
    expect(other.lossAt(1, 5)).toBe(2e-4);
    expect(other.lossAt(5, 5)).toBe(2e-4);
    expect(other).toMatchObject({ gradientRelL2: 3e-3, negligibleNorm: 1e-5, usualDifference: 1e-5 });
  });

  test('lets one parameter in a thousand wander, but none far', () => {
    const recorded = new Map([['w', tensorOf('f32', [3000], new Float32Array(3000))]]);
    const off = (count: number, by: number) =>
      new Map([['w', tensorOf('f32', [3000], new Float32Array(3000).fill(by, 0, count))]]);
    const passes = (count: number, by: number): boolean =>
      isWithin(compareParameters('w', off(count, by), recorded, tolerance));
    expect(passes(2, 5e-4)).toBe(true);
    expect(passes(4, 5e-4)).toBe(false);
    expect(passes(1, 2e-3)).toBe(false);
    expect(passes(3000, 5e-6)).toBe(true);
  });
});
