import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../core/errors.ts';
import { add, input, linear, neg } from './operators.ts';
import { withScope } from './tensor.ts';

describe('withScope', () => {
  it('marks the nodes made in it, the innermost scope first', () => {
    const x = input('x', [2]);
    const [outer, inner, after] = withScope('blocks.0', () => [
      neg(x),
      withScope('blocks.0.mlp', () => neg(x)),
      neg(x),
    ]);
    expect([x, outer, inner, after].map((tensor) => tensor!.scope)).toEqual([
      '',
      'blocks.0',
      'blocks.0.mlp',
      'blocks.0',
    ]);
  });

  it('says where an error was raised, once and above the fix', () => {
    const trace = () =>
      withScope('blocks.0', () => withScope('blocks.0.mlp', () => add(input('x', [2]), input('y', [3]))));
    expect(trace).toThrow(ShapeError);
    expect(trace).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: add: shapes [2] and [3] do not broadcast: axis -1 is 2 and 3
        while tracing blocks.0.mlp
        fix: reshape one of them so that the axes are equal or 1]
    `);
  });

  it('says so below an error without a fix too', () => {
    const trace = () => withScope('final_layer', () => linear(input('x', [2, 3]), input('weight', [4, 5])));
    expect(trace).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: linear: axis I differs: [2,3] has 3, [4,5] has 5
        while tracing final_layer]
    `);
  });

  it('is left when its builder throws, and leaves foreign errors as they are', () => {
    const failure = new RangeError('not ours');
    expect(() =>
      withScope('blocks.0', () => {
        throw failure;
      }),
    ).toThrow(failure);
    expect(failure.message).toBe('not ours');
    expect(input('x', [2]).scope).toBe('');
  });
});
