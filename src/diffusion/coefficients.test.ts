import { expect, test } from 'vitest';
import { ENGINES } from '../../test/support/diffusion-fixtures.ts';
import { type HostTensor, tensorOf } from '../core/host-tensor.ts';
import { input } from '../engine/graph/operators.ts';
import { CoefficientTable } from './coefficients.ts';

const table = new CoefficientTable({ scale: [1, 2, 3], shift: Float64Array.of(0.1, 0.2, 0.3) });

test.each(ENGINES)('a step gives its row, fed or looked up, on $name', async ({ run }) => {
  expect(table.names).toEqual(['scale', 'shift']);
  expect(table.steps).toBe(3);
  const lookedUp = table.at(input('t', [2], 'i64'));
  const fed = table.ofRows(input('row', [1, 2]));
  const values = await run(
    { scale: lookedUp.scale, shift: lookedUp.shift, fedScale: fed.scale, fedShift: fed.shift },
    new Map<string, HostTensor>([
      ['t', tensorOf('i64', [2], [2, 0])],
      ['row', table.row(2)],
    ]),
  );
  expect(lookedUp.scale.shape).toEqual([2, 1, 1, 1]);
  expect(fed.scale.shape).toEqual([1, 1, 1, 1]);
  expect(Array.from(values.get('scale')!)).toEqual([3, 1]);
  expect(Array.from(values.get('shift')!)).toEqual([0.3, 0.1].map(Math.fround));
  expect(Array.from(values.get('fedScale')!)).toEqual([3]);
  expect(Array.from(values.get('fedShift')!)).toEqual([Math.fround(0.3)]);
});
