import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { scalar, tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, mul, reshape } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { type OdeState, type Slope, solveAdaptively, solveInSteps } from './ode-solver.ts';
import { FIXED_METHODS, type FixedMethodName, rungeKuttaStep } from './runge-kutta.ts';

const TOLERANCES = { atol: 1e-6, rtol: 1e-3 };

/** x′ = t x, so x(t) = x(0) e^(t²/2). */
const growing: Slope = async (state, time) => state.map((part) => part.map((value) => time * value));
const grown = (start: number, from: number, to: number): number =>
  start * Math.exp((to ** 2 - from ** 2) / 2);

function counting(slope: Slope): Slope & { readonly times: number[] } {
  const times: number[] = [];
  return Object.assign(
    (state: OdeState, time: number) => {
      times.push(time);
      return slope(state, time);
    },
    { times },
  );
}

const METHODS = Object.keys(FIXED_METHODS) as FixedMethodName[];

describe.each(METHODS)('%s', (name) => {
  test('takes the same steps on the host as in a graph', async () => {
    const x = input('x', [1, 1, 1, 2]);
    const next = rungeKuttaStep(
      FIXED_METHODS[name],
      (state, time) => mul(state, reshape(time, [1, 1, 1, 1])) as Unlabelled,
      x,
      { time: input('time', []), nextTime: input('nextTime', []) },
    );
    const feeds = new Map([
      ['x', tensorOf('f32', x.shape, [3, -1])],
      ['time', scalar('f32', 0.5)],
      ['nextTime', scalar('f32', 0.75)],
    ]);
    const inGraph = evaluate(graphOf({ next }), feeds).get('next')!.data;
    const states = await solveInSteps(FIXED_METHODS[name], growing, [Float32Array.of(3, -1)], [0.5, 0.75]);
    expectClose(states[1]![0]!, inGraph, { relative: 1e-6 });
  });

  test('weighs its slopes as a whole, and asks where its stages are', () => {
    const { nodes, stages, weights } = FIXED_METHODS[name];
    expect(weights.reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 12);
    stages.forEach((stage, i) => {
      expect(stage.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(nodes[i]!, 12);
    });
  });
});

describe('steps chosen on the way', () => {
  test('are as exact as the tolerances ask', async () => {
    const turning: Slope = async ([x], time) => [x!.map((value) => Math.cos(3 * time) * value)];
    const errors = [];
    for (const rtol of [1e-3, 1e-5]) {
      const states = await solveAdaptively(turning, [Float32Array.of(1)], [0, 2], { atol: 1e-8, rtol });
      errors.push(Math.abs(states[1]![0]![0]! / Math.exp(Math.sin(6) / 3) - 1));
      expect(errors.at(-1)).toBeLessThan(5 * rtol);
    }
    expect(errors[1]).toBeLessThan(errors[0]! / 10);
  });

  test('give the state at every time asked for, in either direction', async () => {
    for (const times of [
      [0, 0.1, 0.5, 0.51, 1],
      [1, 0.7, 0.2, 0],
    ]) {
      const states = await solveAdaptively(growing, [Float32Array.of(1, -2), Float32Array.of(0.5)], times, {
        atol: 1e-7,
        rtol: 1e-5,
      });
      expect(states).toHaveLength(times.length);
      for (const [i, time] of times.entries()) {
        const factor = grown(1, times[0]!, time);
        expectClose(states[i]![0]!, [factor, -2 * factor], { relative: 2e-5 });
        expectClose(states[i]![1]!, [factor / 2], { relative: 2e-5 });
      }
    }
  });

  test('cost two evaluations to begin with and six each', async () => {
    const slope = counting(growing);
    let steps = 0;
    await solveAdaptively(slope, [Float32Array.of(1)], [0, 1], TOLERANCES, () => steps++);
    expect(slope.times.length).toBeGreaterThanOrEqual(2 + 6 * steps);
    expect((slope.times.length - 2) % 6).toBe(0);
    // The last step goes past the end, as the reference's does.
    expect(Math.max(...slope.times)).toBeGreaterThan(1);
  });

  test('report the times that are reached, and the last time with its state', async () => {
    const reached: number[] = [];
    let last: OdeState = [];
    const states = await solveAdaptively(growing, [Float32Array.of(1)], [0, 1], TOLERANCES, (time, state) => {
      reached.push(time);
      last = state;
    });
    expect(reached).toEqual(reached.toSorted((a, b) => a - b));
    expect(reached.at(-1)).toBe(1);
    expect(last).toBe(states[1]);
  });

  test('come to the end where there is nothing beyond it', async () => {
    const ending: Slope = async ([x], time) => [x!.map((value) => value * Math.sqrt(1 - time))];
    const states = await solveAdaptively(ending, [Float32Array.of(1)], [0, 0.999], TOLERANCES);
    expectClose(states[1]![0]!, [Math.exp((2 / 3) * (1 - 0.001 ** 1.5))], { relative: 2e-3 });
  });

  test('end with an error where the slope is no number', async () => {
    const broken: Slope = async ([x]) => [x!.map(() => Number.NaN)];
    await expect(
      solveAdaptively(broken, [Float32Array.of(1)], [0, 1], TOLERANCES),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [NumericsError: NumericsError: solving an ODE: at its start, time 0, the slope holds NaN
        fix: the weights are damaged or their training diverged: use an earlier checkpoint]
    `);
  });

  test('end with an error where they become too short', async () => {
    // There is no way past 0.5.
    const walled: Slope = async ([x], time) => [x!.map(() => (time < 0.5 ? 1 : Number.NaN))];
    await expect(solveAdaptively(walled, [Float32Array.of(1)], [0, 1], TOLERANCES)).rejects.toThrow(
      'do not move on',
    );
  });
});
