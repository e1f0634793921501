import { expect, test } from 'vitest';
import { graphOf } from './graph.ts';
import { keptBytes, peakLiveBytes } from './liveness.ts';
import { add, exp, input, linear, mul, parameter, reshape, sum } from './operators.ts';
import { gradients } from './vjp.ts';

/** Bytes of one value of a chain over ten float32 numbers. */
const VALUE = 40;

test('a chain holds a value and its successor', () => {
  const y = exp(exp(exp(exp(input('x', [10])))));
  // The input and the output are the caller's: of the three between, two meet.
  expect(peakLiveBytes(graphOf({ y }))).toBe(2 * VALUE);
});

test('a value that is read again stays', () => {
  const first = exp(input('x', [10]));
  const y = exp(add(exp(exp(first)), first));
  expect(peakLiveBytes(graphOf({ y }))).toBe(3 * VALUE);
});

test('a reshape takes no memory, and keeps its source', () => {
  const viewed = reshape(exp(input('x', [10])), [2, 5]);
  const y = exp(add(exp(exp(viewed)), viewed));
  expect(peakLiveBytes(graphOf({ y }))).toBe(3 * VALUE);
});

test('what depends on weights alone is not counted', () => {
  const weight = exp(parameter('w', [100, 10]));
  expect(peakLiveBytes(graphOf({ y: linear(exp(input('x', [1, 10])), weight) }))).toBe(VALUE);
});

test('a gradient keeps what its rules read of the forward pass', () => {
  const x = input('x', [10]);
  const kept = exp(x); // read by the rule of mul, and by its own
  const unread = add(kept, 1); // the rules of add and sum read nothing
  const scale = parameter('scale', [10]);
  const loss = sum(mul(unread, scale));
  const [dx, dScale] = gradients(loss, [x, scale]);
  // d/dscale reads the sum, d/dx the exponential.
  expect(keptBytes(graphOf({ loss, dScale: dScale! }), loss)).toBe(VALUE);
  expect(keptBytes(graphOf({ loss, dx: dx!, dScale: dScale! }), loss)).toBe(2 * VALUE);
  expect(keptBytes(graphOf({ loss }), loss)).toBe(0);
});
