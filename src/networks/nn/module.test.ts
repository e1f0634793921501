import { describe, expect, test } from 'vitest';
import { ShapeError } from '../../core/errors.ts';
import { add, input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Module, Parameter } from './module.ts';

class Shift extends Module {
  readonly amount: Parameter;

  constructor(size: number) {
    super();
    this.amount = new Parameter([size]);
  }

  forward(x: Tensor): Unlabelled {
    return add(x, this.amount.tensor);
  }
}

class Net extends Module {
  readonly blocks: readonly Shift[] = [new Shift(2), new Shift(2)];
  readonly absent: Parameter | undefined = undefined;
  readonly table = new Parameter([5], { frozen: true });
  readonly last = new Shift(2);
  private readonly name = 'not a parameter';

  forward(x: Tensor): Unlabelled {
    const y = this.blocks.reduce<Tensor>((h, block) => block.apply(h), x);
    return this.last.apply(y);
  }

  describe(): string {
    return this.name;
  }
}

describe('the tree of a module', () => {
  test("names parameters by field paths, a module's own before its children's", () => {
    const net = new Net().bind();
    expect([...net.parameters()].map(({ name }) => name)).toEqual([
      'table',
      'blocks.0.amount',
      'blocks.1.amount',
      'last.amount',
    ]);
  });

  test('can hang below a path', () => {
    expect([...new Net().bind('model').parameters()].at(-1)!.name).toBe('model.last.amount');
  });

  test('keeps frozen parameters in the list', () => {
    const frozen = [...new Net().bind().parameters()].filter((parameter) => parameter.frozen);
    expect(frozen.map(({ name }) => name)).toEqual(['table']);
  });
});

describe('a parameter', () => {
  test('is one node, however often it is read', () => {
    const { last } = new Net().bind();
    expect(last.amount.tensor).toBe(last.amount.tensor);
    expect(last.amount.tensor.params).toEqual({ name: 'last.amount' });
  });
});

describe('apply', () => {
  test('records the module path in the nodes it builds', () => {
    const y = new Net().bind().apply(input('x', [2]));
    expect(y.scope).toBe('last');
    expect(y.inputs[0]!.scope).toBe('blocks.1');
  });

  test('an error says in which module it was raised', () => {
    const trace = () => new Net().bind().apply(input('x', [3]));
    expect(trace).toThrowError(ShapeError);
    expect(trace).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: add: shapes [3] and [2] do not broadcast: axis -1 is 3 and 2
        while tracing blocks.0
        fix: reshape one of them so that the axes are equal or 1]
    `);
  });
});
