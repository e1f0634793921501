/**
 * @file Solving an ODE whose slope is computed elsewhere, as by a session: with given steps, or with steps that are
 * chosen on the way (dopri5 as torchdiffeq 0.2.5 has it, which the reference draws with).
 */
import { NumericsError } from '../../core/errors.ts';
import type { Tableau } from './runge-kutta.ts';

/** Values that move together, as images and what is accumulated along their way. */
export type OdeState = readonly Float32Array[];

/** The rate of change of each part. It may throw, which ends the solving. */
export type Slope = (state: OdeState, time: number) => Promise<OdeState>;

/** Steps of the given times; the state at each of them. */
export async function solveInSteps(
  { nodes, stages, weights }: Tableau,
  slope: Slope,
  start: OdeState,
  times: readonly number[],
): Promise<OdeState[]> {
  const states = [start];
  for (const [step, time] of times.slice(0, -1).entries()) {
    const state = states[step]!;
    const duration = times[step + 1]! - time;
    const slopes: OdeState[] = [];
    for (const [i, node] of nodes.entries()) {
      slopes.push(await slope(along(state, duration, stages[i]!, slopes), time + node * duration));
    }
    states.push(along(state, duration, weights, slopes));
  }
  return states;
}

export interface OdeTolerances {
  /** A step's estimated error may be `atol + rtol · |value|`, in the root mean square over all values. */
  readonly atol: number;
  readonly rtol: number;
}

/** The reference's. */
export const REFERENCE_TOLERANCES: OdeTolerances = { atol: 1e-6, rtol: 1e-3 };

/** The pair of Dormand and Prince (1980), with the error estimate of Shampine (1986); its last stage begins the next step. */
const DOPRI5 = {
  nodes: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  stages: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  /** Fifth order less fourth. */
  error: [
    35 / 384 - 1951 / 21600,
    0,
    500 / 1113 - 22642 / 50085,
    125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300,
    -1 / 60,
  ],
  /** The state in the middle of the step. */
  middle: [
    6025192743 / 30085553152 / 2,
    0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
  ],
} as const;
const ORDER = 5;

/** The next step is this share of the longest that would have been good enough, and changes by these factors at most. */
const CAUTION = 0.9;
const [LARGEST_GROWTH, LARGEST_SHRINKAGE] = [10, 0.2];

/**
 * The state at each of `times`, which run in one direction. As the reference's solver it may step past the last of them,
 * where the slope is asked for too, and interpolates. Where a trial step gives no numbers, as past an end beyond which
 * there is no path, it is tried again at a fifth of the length; the reference's would not come to an end.
 *
 * @param onStep - told the time and state that each accepted step reaches
 * @throws NumericsError if the slope at the start is no number, or steps become too small to move on
 */
export async function solveAdaptively(
  slope: Slope,
  start: OdeState,
  times: readonly number[],
  tolerances: OdeTolerances,
  onStep: (time: number, state: OdeState) => void = () => {},
): Promise<OdeState[]> {
  const last = times.at(-1)!;
  const direction = Math.sign(last - times[0]!) || 1;
  const isBefore = (a: number, b: number): boolean => (b - a) * direction > 0;
  const states = [start];
  let [time, state] = [times[0]!, start];
  let first = await slope(state, time);
  expectNumbers(first, time);
  let duration = direction * (await firstDuration(slope, { time, state, first, direction }, tolerances));
  while (states.length < times.length) {
    expectProgress(time, duration);
    const { slopes, next } = await trialStep(slope, { time, state, first, duration });
    const ratio = errorRatio({ state, next, slopes, duration }, tolerances);
    const nextDuration = duration * growth(ratio);
    if (ratio <= 1) {
      const reached = time + duration;
      while (states.length < times.length && !isBefore(reached, times[states.length]!)) {
        const share = (times[states.length]! - time) / duration;
        states.push(interpolated({ state, next, slopes, duration }, share));
      }
      [time, state, first] = [reached, next, slopes.at(-1)!];
      onStep(isBefore(last, time) ? last : time, states.length === times.length ? states.at(-1)! : state);
    }
    duration = nextDuration;
  }
  return states;
}

interface Step {
  readonly state: OdeState;
  readonly next: OdeState;
  readonly slopes: readonly OdeState[];
  readonly duration: number;
}

async function trialStep(
  slope: Slope,
  from: {
    readonly time: number;
    readonly state: OdeState;
    readonly first: OdeState;
    readonly duration: number;
  },
): Promise<Pick<Step, 'slopes' | 'next'>> {
  const { time, state, first, duration } = from;
  const slopes = [first];
  let next = state;
  for (const [i, stage] of DOPRI5.stages.entries()) {
    if (i === 0) continue;
    next = along(state, duration, stage, slopes);
    slopes.push(await slope(next, time + DOPRI5.nodes[i]! * duration));
  }
  return { slopes, next };
}

/** Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, section II.4. */
async function firstDuration(
  slope: Slope,
  from: {
    readonly time: number;
    readonly state: OdeState;
    readonly first: OdeState;
    readonly direction: number;
  },
  { atol, rtol }: OdeTolerances,
): Promise<number> {
  const { time, state, first, direction } = from;
  const scaled = (values: OdeState): number =>
    largestRms(values, (value, part, i) => value / (atol + rtol * Math.abs(state[part]![i]!)));
  const [size, speed] = [scaled(state), scaled(first)];
  const guess = size < 1e-5 || speed < 1e-5 ? 1e-6 : (0.01 * size) / speed;
  const ahead = await slope(along(state, direction * guess, [1], [first]), time + direction * guess);
  const bend = scaled(along(ahead, 1, [-1], [first])) / guess;
  const steepest = Math.max(speed, bend);
  const duration =
    speed <= 1e-15 && bend <= 1e-15 ? Math.max(1e-6, guess * 1e-3) : (0.01 / steepest) ** (1 / ORDER);
  return Math.min(100 * guess, duration);
}

/** The estimated error as a multiple of what is allowed; not a number where a trial step gave none. */
function errorRatio({ state, next, slopes, duration }: Step, { atol, rtol }: OdeTolerances): number {
  const nothing = state.map((part) => new Float32Array(part.length));
  return largestRms(along(nothing, duration, DOPRI5.error, slopes), (error, part, i) => {
    const size = Math.max(Math.abs(state[part]![i]!), Math.abs(next[part]![i]!));
    return error / (atol + rtol * size);
  });
}

function growth(ratio: number): number {
  if (ratio === 0) return LARGEST_GROWTH;
  if (!Number.isFinite(ratio)) return LARGEST_SHRINKAGE;
  const wanted = CAUTION / ratio ** (1 / ORDER);
  return Math.min(LARGEST_GROWTH, Math.max(wanted, ratio < 1 ? 1 : LARGEST_SHRINKAGE));
}

/** The polynomial of fourth degree through both ends, with their slopes, and the middle of a step. */
function interpolated({ state, next, slopes, duration }: Step, share: number): OdeState {
  if (share === 1) return next;
  const [first, last] = [slopes[0]!, slopes.at(-1)!];
  return along(state, duration, DOPRI5.middle, slopes).map((middle, part) =>
    middle.map((mid, i) => {
      const [a, b] = [state[part]![i]!, next[part]![i]!];
      const [da, db] = [duration * first[part]![i]!, duration * last[part]![i]!];
      const c4 = 2 * (db - da) - 8 * (a + b) + 16 * mid;
      const c3 = 5 * da - 3 * db + 18 * a + 14 * b - 32 * mid;
      const c2 = db - 4 * da - 11 * a - 5 * b + 16 * mid;
      return a + share * (da + share * (c2 + share * (c3 + share * c4)));
    }),
  );
}

/** state + duration Σ weight slope. */
function along(
  state: OdeState,
  duration: number,
  weights: readonly number[],
  slopes: readonly OdeState[],
): OdeState {
  return state.map((values, part) =>
    values.map((value, i) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) {
        if (weights[k] !== 0) sum += weights[k]! * slopes[k]![part]![i]!;
      }
      return value + duration * sum;
    }),
  );
}

/** The root mean square of each part's values after `map`, and of these the largest. */
function largestRms(state: OdeState, map: (value: number, part: number, index: number) => number): number {
  const rms = state.map((values, part) => {
    let squares = 0;
    for (let i = 0; i < values.length; i++) squares += map(values[i]!, part, i) ** 2;
    return Math.sqrt(squares / values.length);
  });
  return Math.max(...rms);
}

function expectNumbers(slope: OdeState, time: number): void {
  const unusable = slope.flatMap((values) => values.find((value) => !Number.isFinite(value)) ?? []);
  if (unusable.length === 0) return;
  throw new NumericsError({
    where: 'solving an ODE',
    problem: `at its start, time ${time}, the slope holds ${unusable[0]}`,
    fix: 'the weights are damaged or their training diverged: use an earlier checkpoint',
  });
}

function expectProgress(time: number, duration: number): void {
  if (Math.abs(duration) > 1e-12) return;
  throw new NumericsError({
    where: 'solving an ODE',
    problem: `at time ${time} the steps have become ${Math.abs(duration).toExponential(1)} long and do not move on`,
    fix: 'allow larger errors (rtol, atol), or use a sampler with given steps such as heun',
  });
}
